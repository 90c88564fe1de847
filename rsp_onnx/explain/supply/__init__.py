"""Where compiled explainers come from: compiled anew, or read from the cache; what compiles is imported when needed.

Public: Deployed, ModelFacts, Request, Scorer, Scores, scores_of, Settings, Shelf, Supply.
"""
