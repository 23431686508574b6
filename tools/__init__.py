"""Commands for developers: benchmarks, fuzzers, tables. Run them in the root of the repository."""
