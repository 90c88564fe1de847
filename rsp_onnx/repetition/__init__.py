"""Asking the model many times: what changes from step to step, and a step as the body of a Loop.

Public: Asked, asked_of, Body, Question, Repetition, wide, write_step.
"""
