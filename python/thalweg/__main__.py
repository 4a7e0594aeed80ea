"""`python -m thalweg`, and the command `thalweg`."""

from .running import main

if __name__ == "__main__":
    main()
