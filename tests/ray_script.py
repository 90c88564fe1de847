"""A run on a local two-node Ray cluster, one node removed in the middle: python ray_script.py REPO DATA OUT."""

import sys
from pathlib import Path


def main():
    repo, data, out = map(Path, sys.argv[1:])
    sys.path[:0] = [str(repo), str(repo / "tests")]
    import evaluating
    import ray
    from ray.cluster_utils import Cluster

    evaluating.use_little_ones(setattr)
    from rsp_onnx.evaluate import evaluate
    from rsp_onnx.evaluate.runs import ray as engine_ray

    lost = engine_ray._Team._lost

    def tell_lost(team, part, error):
        print("lost part", part, flush=True)
        lost(team, part, error)

    engine_ray._Team._lost = tell_lost
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20})
    second = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    cluster.wait_for_nodes()
    removed = []

    def tell(done, total):
        print(done, total, flush=True)
        if done >= 48 and not removed:  # both workers have begun by then
            removed.append(True)
            cluster.remove_node(second, allow_graceful=False)
            print("removed a node", flush=True)

    evaluate(
        repo / "models/digits_pytorch.onnx", data, format="csv", methods=["rsp", "gradient"], metrics=["hit", "share"],
        out=out, device="cpu", report=False, engine="ray", address=cluster.address, progress=tell,
    )  # fmt: skip
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
