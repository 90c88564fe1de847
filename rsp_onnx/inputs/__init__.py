"""From what people hand in to tensors and class indices: photographs, preprocessing, labels; knows no graph.

Public: asks_for_predicted, asks_for_several, called, check_labels, Choice, choose_classes, choose_hostile,
choose_targets, class_arrays, DEFAULT_SIZE, Feeds, file_beside, find_class, finite_map, Geometry, image_signature,
InputSignature, label_of, make_feeds, needs_scores, open_photo, overridden, Picture, portions, PREDICTED, prepare,
Preprocess, PRESENT, PRESETS, probabilities, read, read_labels, read_photo, read_tensor_file, resolve_preprocess,
same_shapes, Shapes, shapes_of, signature_of, signatures_of, sized, split_items, stacked, TENSOR_FILES, whole_batches.
"""
