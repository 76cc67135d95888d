"""What Django REST framework finds by name in the settings: pages and refusals.

Nothing here may import a view: the framework loads this module while it builds its own view classes.
"""

from accounts.paging import CursorPages
from accounts.problems import Problem, problem

__all__ = ["CursorPages", "Problem", "problem"]
