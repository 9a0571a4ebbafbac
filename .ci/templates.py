"""Compile every template: `python .ci/templates.py`. Names the file and line of a mistake."""  # noqa: INP001

import sys

from jinja2 import TemplateSyntaxError

from app.web.pages import ENVIRONMENT


def main() -> int:
    wrong = 0
    for name in ENVIRONMENT.list_templates(extensions=["html", "txt"]):
        try:
            ENVIRONMENT.get_template(name)
        except TemplateSyntaxError as error:
            wrong += 1
            sys.stderr.write(f"templates/{error.name or name}:{error.lineno}: {error.message}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
