"""``python -m monai_lesion``: the command line where its program is not on the path."""

from monai_lesion.commands.app import main

if __name__ == "__main__":
    main()
