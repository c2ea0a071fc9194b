"""Both models on mosec: its Rust front batches, one Python process a model executes."""

from mosec import Runtime, Server, Worker
from onnx_model import CONTENT_TYPES, MAX_BATCH_ROWS, MAX_WAIT_S, OnnxModel, answer_of, row_of


class OnnxWorker(Worker):
    """Bodies in, bodies out; (de)serialisation happens in the worker's process."""

    workload = ""

    def __init__(self) -> None:
        super().__init__()
        self._model = OnnxModel(self.workload)

    def deserialize(self, data):
        return row_of(self.workload, data)

    def forward(self, data):
        return self._model.run_each(data)

    def serialize(self, data):
        return answer_of(self.workload, data)


class Digits(OnnxWorker):
    """The perceptron."""

    workload = "digits"
    resp_mime_type = CONTENT_TYPES["digits"]


class Cnn(OnnxWorker):
    """The conv net."""

    workload = "cnn"
    resp_mime_type = CONTENT_TYPES["cnn"]


if __name__ == "__main__":
    server = Server()
    wait_ms = int(MAX_WAIT_S * 1000)  # below 1 it would stand for the default of 10
    server.register_runtime(
        {
            f"/{worker.workload}": [Runtime(worker, max_batch_size=MAX_BATCH_ROWS, max_wait_time=wait_ms)]
            for worker in (Digits, Cnn)
        }
    )
    server.run()
