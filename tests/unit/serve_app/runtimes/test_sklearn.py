import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from support.versions import sha256
from threadpoolctl import ThreadpoolController

from serve_app.config.manifest import Format, Manifest
from serve_app.errors import ManifestError, UntrustedArtifact
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.sklearn import SklearnRuntime, infer

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
FEATURES = {"name": "features", "datatype": "FP32", "shape": [-1, 4]}
OUTPUTS = [
    {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3], "source": "predict_proba"},
    {"name": "label", "datatype": "INT64", "shape": [-1]},
]


def fitted(labels=Y):
    return LogisticRegression(max_iter=1000).fit(X, labels)


def source(directory: Path, data: bytes, fmt: str = "skops", trusted=(), **changes) -> RuntimeSource:
    (directory / "model").write_bytes(data)
    document = {"format": fmt, "artifact": "model", "sha256": sha256(data), "inputs": [FEATURES], "outputs": OUTPUTS}
    return RuntimeSource(Manifest.model_validate(document | changes), directory, trusted_sha256=trusted)


def dumped(fmt: str, estimator) -> bytes:
    if fmt == "skops":
        return skops.io.dumps(estimator)
    if fmt == "pickle":
        return pickle.dumps(estimator)
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("fmt", ["skops", "joblib", "pickle"])
def test_outputs_are_the_estimator_s_own(tmp_path, fmt):
    estimator, data = fitted(), dumped(fmt, fitted())
    runtime = SklearnRuntime(source(tmp_path, data, fmt, trusted=(sha256(data),)))
    answer = runtime.predict({"features": X.astype(np.float32)})
    assert answer["label"].tolist() == estimator.predict(X).tolist()
    assert answer["label"].dtype == np.int64
    assert answer["probabilities"].dtype == np.float32
    assert np.allclose(answer["probabilities"], estimator.predict_proba(X), atol=1e-5)
    assert runtime.device == "cpu"


def test_class_names_become_bytes(tmp_path):
    outputs = [{"name": "label", "datatype": "BYTES", "shape": [-1]}]
    runtime = SklearnRuntime(source(tmp_path, skops.io.dumps(fitted(NAMES[Y])), outputs=outputs))
    assert runtime.predict({"features": X[[0, 149]].astype(np.float32)})["label"].tolist() == [b"setosa", b"virginica"]


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def __reduce__(self):
        return Path.write_text, (Path(self.file), "executed")


@pytest.mark.parametrize("fmt", ["joblib", "pickle"])
def test_an_untrusted_pickle_is_refused_and_its_payload_never_runs(tmp_path, fmt):
    mark = tmp_path / "mark"
    data = dumped(fmt, Payload(mark))
    with pytest.raises(UntrustedArtifact, match=sha256(data)):
        SklearnRuntime(source(tmp_path, data, fmt, trusted=("0" * 64,)))
    with pytest.raises(UntrustedArtifact):
        infer(tmp_path / "model", Format(fmt), ())
    assert not mark.exists()
    with pytest.raises(ManifestError):  # trusted, it runs: so the payload is one
        SklearnRuntime(source(tmp_path, data, fmt, trusted=(sha256(data),)))
    assert mark.read_text() == "executed"


@pytest.mark.parametrize("fmt", ["joblib", "pickle"])
def test_bytes_swapped_after_the_manifest_was_trusted_are_refused(tmp_path, fmt):
    good, mark = dumped(fmt, fitted()), tmp_path / "mark"
    swapped = source(tmp_path, good, fmt, trusted=(sha256(good),))
    (tmp_path / "model").write_bytes(dumped(fmt, Payload(mark)))
    with pytest.raises(UntrustedArtifact):
        SklearnRuntime(swapped)
    assert not mark.exists()


def test_skops_with_a_foreign_type_names_it(tmp_path):
    data = skops.io.dumps(FunctionTransformer(func=joblib.cpu_count).fit(X))
    with pytest.raises(UntrustedArtifact, match=r"types that skops does not know: .*cpu_count"):
        SklearnRuntime(source(tmp_path, data))


@pytest.mark.parametrize("fmt", ["skops", "joblib", "pickle"])
def test_a_damaged_file_is_refused(tmp_path, fmt):
    with pytest.raises(ManifestError, match=f"cannot be loaded as {fmt}"):
        SklearnRuntime(source(tmp_path, b"damaged", fmt, trusted=(sha256(b"damaged"),)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"inputs": [FEATURES, FEATURES | {"name": "b"}]}, "takes exactly one input"),
        ({"inputs": [FEATURES | {"shape": [-1, 5]}]}, "takes 4 features, the manifest says 5"),
        ({"inputs": [FEATURES | {"shape": [-1]}]}, r"of shape \[-1, features\]"),
        (
            {"outputs": [{"name": "y", "datatype": "FP32", "shape": [-1], "source": "transform"}]},
            "no method 'transform'",
        ),
        ({"outputs": [{"name": "y", "datatype": "FP32", "shape": [-1], "source": "__dir__"}]}, "no method '__dir__'"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused(tmp_path, changes, reason):
    with pytest.raises(ManifestError, match=reason):
        SklearnRuntime(source(tmp_path, skops.io.dumps(fitted()), **changes))


def test_only_casts_that_keep_the_meaning_are_made(tmp_path):
    outputs = [
        {"name": "narrow", "datatype": "INT8", "shape": [-1]},
        {"name": "float", "datatype": "INT64", "shape": [-1, 3], "source": "predict_proba"},
    ]
    runtime = SklearnRuntime(source(tmp_path, skops.io.dumps(fitted()), outputs=outputs))
    answer = runtime.predict({"features": X.astype(np.float32)})
    assert (answer["narrow"].dtype, answer["float"].dtype) == (np.int64, np.float64)  # left for the caller to refuse


def test_int32_becomes_int64(tmp_path):
    clusters = KMeans(2, n_init=1, random_state=0).fit(X)
    outputs = [{"name": "cluster", "datatype": "INT64", "shape": [-1]}]
    inputs = [FEATURES | {"datatype": "FP64"}]
    runtime = SklearnRuntime(source(tmp_path, skops.io.dumps(clusters), inputs=inputs, outputs=outputs))
    assert clusters.predict(X).dtype == np.int32
    assert runtime.predict({"features": X})["cluster"].dtype == np.int64


def described(tmp_path, estimator):
    (tmp_path / "m.skops").write_bytes(skops.io.dumps(estimator))
    signature = infer(tmp_path / "m.skops", Format.SKOPS, ())
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("features", "FP64", (-1, 4))]
    return [(t.name, t.datatype, t.shape, t.source, t.labels) for t in signature.outputs]


def test_a_classifier_tells_its_classes(tmp_path):
    labels = tuple(NAMES)
    assert described(tmp_path, fitted(NAMES[Y])) == [
        ("probabilities", "FP64", (-1, 3), "predict_proba", labels),
        ("label", "BYTES", (-1,), "predict", labels),
    ]


def test_parts_that_were_trained_on_all_cpus_use_the_release_s_threads(tmp_path):
    def jobs_once_loaded(forest):
        data = pickle.dumps(make_pipeline(StandardScaler(), forest).fit(X, Y))
        trusted = replace(source(tmp_path, data, "pickle", (sha256(data),)), cpus=3.0)
        return SklearnRuntime(trusted)._methods["label"].__self__.named_steps["randomforestclassifier"].n_jobs

    assert jobs_once_loaded(RandomForestClassifier(2, n_jobs=-1)) == 3
    assert jobs_once_loaded(RandomForestClassifier(2)) is None


def threads_seen(rows):
    return {pool["user_api"]: pool["num_threads"] for pool in ThreadpoolController().info()}


def test_every_thread_that_executes_has_the_release_s_limit(tmp_path):
    seen = []
    runtime = SklearnRuntime(replace(source(tmp_path, skops.io.dumps(fitted())), cpus=2.0))
    method = runtime._methods["label"]
    runtime._methods["label"] = lambda rows: seen.append(threads_seen(rows)) or method(rows)
    for _ in range(2):
        with ThreadPoolExecutor(1) as thread:
            thread.submit(runtime.predict, {"features": X[:1].astype(np.float32)}).result()
    one = SklearnRuntime(source(tmp_path, skops.io.dumps(fitted())))
    one._methods["label"] = lambda rows: seen.append(threads_seen(rows)) or method(rows)
    one.predict({"features": X[:1].astype(np.float32)})
    assert seen == [{"openmp": 2, "blas": 2}] * 2 + [{"openmp": 1, "blas": 1}]


def test_a_regressor_has_a_prediction(tmp_path):
    assert described(tmp_path, LinearRegression().fit(X, Y)) == [("prediction", "FP64", (-1,), "predict", ())]
    two = LinearRegression().fit(X, np.stack([Y, Y], axis=1))
    assert described(tmp_path, two) == [("prediction", "FP64", (-1, 2), "predict", ())]


def test_an_unfitted_estimator_has_no_signature(tmp_path):
    with pytest.raises(ManifestError, match="LinearRegression is no fitted estimator"):
        described(tmp_path, LinearRegression())
