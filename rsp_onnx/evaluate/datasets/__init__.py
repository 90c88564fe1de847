"""Datasets on the disk, read item by item, their classes in the model's label space.

Public: BadItem, Dataset, dataset_formats, FORMATS, Item, look_at, MASK, open_dataset, photos_in,
read_indices, refuse_shifted, spread, Thing, write_mapping.
"""
