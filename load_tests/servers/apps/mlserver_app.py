"""A model of MLServer, in its own process (`parallel_workers` 0) and with its own adaptive batching."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_model import OnnxModel


class Onnx(MLModel):
    """Named as the workload, in whose folder MLServer finds its settings."""

    async def load(self) -> bool:
        self._model = OnnxModel(self.name)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        outputs = self._model.run(rows.astype("float32", copy=False))
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(name, array) for name, array in outputs.items()],
        )
