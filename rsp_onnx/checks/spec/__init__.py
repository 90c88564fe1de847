"""A SPEC file, read with the line of every problem.

Public: concerned_specs, Expectation, FolderSpec, ImageSpec, mask_pixels, Place, read_spec, Spec, Threshold, toml_text,
window_sums.
"""
