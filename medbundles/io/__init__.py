"""Reading and writing: images, tables, data lists, locks."""
