"""Imports."""


class FreshProcess:
    """What does the import cost in a new process, compared with NumPy alone?"""

    params = ["numpy", "nnfast"]
    param_names = ["module"]

    def timeraw_import(self, module):
        return f"import {module}"
