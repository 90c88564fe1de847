"""Loops that stay loops: a Loop or Scan is walked backward by a second one, whose body is its body walked backward.

And a Loop over the classes behind one forward pass.

Public: back_through, check_counts, course_of, Course, loop_over_targets, with_bodies.
"""
