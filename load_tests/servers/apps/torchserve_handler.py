"""A model of TorchServe by a handler of our own; its Java front batches, one Python process a model executes."""

from onnx_model import CONTENT_TYPES, OnnxModel, answer_of, row_of, v2_row


class OnnxHandler:
    """Named by the archive, whose name is the workload's."""

    def initialize(self, context):
        self._model = OnnxModel(context.model_name)

    def handle(self, data, context):
        workload = self._model.workload
        rows = [_row(workload, request["body"]) for request in data]
        for index in range(len(rows)):
            context.set_response_content_type(index, CONTENT_TYPES[workload])
        return [answer_of(workload, outputs) for outputs in self._model.run_each(rows)]


def _row(workload, body):
    """TorchServe has parsed a JSON body already."""
    return v2_row(body) if isinstance(body, dict) else row_of(workload, bytes(body))
