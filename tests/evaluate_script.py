"""A run in a process of its own, with the little dataset and metrics: python evaluate_script.py REPO JSON-ARGUMENTS."""

import json
import sys
from pathlib import Path


def main():
    repo, given = Path(sys.argv[1]), json.loads(sys.argv[2])
    sys.path[:0] = [str(repo), str(repo / "tests")]
    import evaluating

    evaluating.use_little_ones(setattr)
    from rsp_onnx.evaluate import evaluate

    def tell(done, total):
        print(done, total, flush=True)

    evaluate(repo / "models/digits_pytorch.onnx", format="csv", device="cpu", progress=tell, **given)


if __name__ == "__main__":
    main()
