"""Asking the model many times: what changes from step to step, and a step as the body of a Loop.

Public: ANSWERS, Asked, asked_of, Body, PROBABILITIES, Question, Repetition, wide, write_step.
"""
