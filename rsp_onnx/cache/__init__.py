"""What was compiled, kept on the disk: folders by key, written whole or not at all; knows no model.

Public: BrokenEntryError, cache_folder, cache_report, clear_cache, Entry, key_of, open_store, size_limit, Store,
surroundings.
"""
