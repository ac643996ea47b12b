"""`python -m resnext_dsl` is `resnext-dsl`."""

from resnext_dsl.cli import main

if __name__ == "__main__":
    main()
