"""Models in TorchScript (`torch.jit.save`), executed by PyTorch's own interpreter.

A TorchScript file is a program: its code can reach operators that read and write files, under names that no search of
its text finds for certain. It is loaded only where the operator lists its SHA-256, and what is loaded are the very
bytes that were hashed.
"""

from __future__ import annotations

import hashlib
import io
import warnings

import torch

from serve_app.errors import ManifestError, UntrustedArtifact
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.torch_base import TorchRuntime, device_of, prepare


def load(source: RuntimeSource) -> TorchRuntime:
    """Load a TorchScript archive on to its device.

    Raises:
        UntrustedArtifact: The operator does not trust its digest.
        ManifestError: The file is no TorchScript archive.
        AcceleratorMissing: CUDA was chosen and PyTorch sees none.
        ConfigError: A tensor of the signature is BYTES.
    """
    prepare(source)
    data = source.artifact.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest not in source.trusted_sha256:
        raise UntrustedArtifact(str(source.artifact), digest, "a torchscript file can run code when it is loaded")
    device = device_of(source)
    with warnings.catch_warnings():
        # PyTorch 2.13 deprecates TorchScript in favour of torch.export; models in it are there to be served.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            module = torch.jit.load(io.BytesIO(data), map_location=device)  # type: ignore[no-untyped-call]  # untyped
        except RuntimeError as error:
            reason = str(error).partition("\n")[0][:200]
            raise ManifestError(str(source.artifact), f"PyTorch cannot load it as TorchScript: {reason}") from error
    module.eval()
    return TorchRuntime(module, source)
