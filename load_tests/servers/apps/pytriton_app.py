"""Both models on PyTriton: Triton's HTTP front and dynamic batcher around a Python process."""

import sys

import numpy as np
from onnx_model import MAX_BATCH_ROWS, MAX_WAIT_S, OnnxModel
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

PIXELS = [Tensor(name="pixels", dtype=np.float32, shape=(64,))]
IMAGE = [Tensor(name="image", dtype=np.float32, shape=(3, 64, 64))]
CLASSIFIED = [
    Tensor(name="probabilities", dtype=np.float32, shape=(10,)),
    Tensor(name="label", dtype=np.int64, shape=(1,)),
]
LOGITS = [Tensor(name="logits", dtype=np.float32, shape=(10,))]


def infer_function(workload):
    """What PyTriton calls with the inputs of a whole batch."""
    model = OnnxModel(workload)

    @batch
    def infer(**inputs):
        outputs = model.run(next(iter(inputs.values())))
        return {name: array.reshape(len(array), -1) for name, array in outputs.items()}

    return infer


def main(http_port, grpc_port, metrics_port):
    """Serve until a signal comes."""
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=http_port,
        grpc_address="127.0.0.1",
        grpc_port=grpc_port,
        metrics_address="127.0.0.1",
        metrics_port=metrics_port,
        exit_timeout_secs=5,
    )
    batching = ModelConfig(
        max_batch_size=MAX_BATCH_ROWS,
        batcher=DynamicBatcher(max_queue_delay_microseconds=int(MAX_WAIT_S * 1e6)),
    )
    with Triton(config=config) as triton:
        for workload, inputs, outputs in (("digits", PIXELS, CLASSIFIED), ("cnn", IMAGE, LOGITS)):
            function = infer_function(workload)
            triton.bind(model_name=workload, infer_func=function, inputs=inputs, outputs=outputs, config=batching)
        triton.serve()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
