"""Measurements of the desk: ratios against something plain in the same run. See `manage.py bench --help`."""
