"""The consensus core, rule by rule: each test's name is a claim, its docstring the sentence it proves."""
