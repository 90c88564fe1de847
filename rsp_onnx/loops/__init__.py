"""Loops that stay loops: a Loop or Scan is walked backward by a second one, whose body is its body walked backward.

Public: back_through, course_of, Course, with_bodies.
"""
