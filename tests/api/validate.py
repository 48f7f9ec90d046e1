"""Compare answers with their schemas. Runs in Schemathesis's own Python: `validate.py DOCUMENT < ANSWERS`.

ANSWERS is a JSON list of [name, path of the schema in the document, value]. Prints each fault; ends with 1 for any.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

URN = "urn:api"


def main(document: Path) -> int:
    """Return the exit code."""
    resource = DRAFT202012.create_resource(json.loads(document.read_text()))
    registry = Registry().with_resource(URN, resource)
    faults = [
        f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message}"
        for name, path, value in json.load(sys.stdin)
        for error in Draft202012Validator({"$ref": f"{URN}#{path}"}, registry=registry).iter_errors(value)
    ]
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
