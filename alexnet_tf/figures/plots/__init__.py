"""The figures; every module here is imported by `registry.all_figures`."""
