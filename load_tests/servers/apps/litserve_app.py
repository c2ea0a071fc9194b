"""Both models on LitServe with its fast queue: one process parses HTTP, one a model executes."""

import sys

import litserve
import numpy as np
from fastapi import Request
from onnx_model import MAX_BATCH_ROWS, MAX_WAIT_S, OnnxModel, row_of, v2_answer, v2_row


class OnnxApi(litserve.LitAPI):
    """One model; JSON bodies are parsed by LitServe, raw bytes it takes only as a file of a form."""

    def __init__(self, workload):
        super().__init__(max_batch_size=MAX_BATCH_ROWS, batch_timeout=MAX_WAIT_S, api_path=f"/{workload}")
        self._workload = workload

    def setup(self, device):
        self._model = OnnxModel(self._workload)

    def decode_request(self, request: Request):
        if self._workload == "cnn":
            return row_of("cnn", request["image"].file.read())
        return v2_row(request)

    def batch(self, inputs):
        return np.concatenate(inputs)

    def predict(self, rows):
        return self._model.run(rows)

    def unbatch(self, outputs):
        count = len(next(iter(outputs.values())))
        return [{name: array[index : index + 1] for name, array in outputs.items()} for index in range(count)]

    def encode_response(self, outputs):
        return v2_answer(self._workload, outputs)


if __name__ == "__main__":
    server = litserve.LitServer([OnnxApi("digits"), OnnxApi("cnn")], accelerator="cpu", fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
