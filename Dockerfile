# The operator's image: the locked dependencies and the package in one virtual environment, and nothing to build with.
#
#   docker build -t headgate:dev .
#   buildah bud --isolation chroot --build-arg BASE=localhost/debian-python -t headgate:dev .
#
# BASE may be any Debian with python3 (3.11 or later), python3-venv and ca-certificates. All stages use it, because a
# virtual environment points at the interpreter that made it.

ARG BASE=python:3.11-slim-bookworm

# ---------------------------------------------------------------------------------------------------------------------
FROM ${BASE} AS dependencies

# pip lives in an environment of its own, so that the one that is shipped never holds it. `--copies` is not used: the
# interpreter is the base's.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/headgate

WORKDIR /src
COPY requirements.lock ./
# Hashes are required and nothing is compiled from source: what is installed is exactly what the lock names. Tests and
# commands of dependencies are not shipped. Bytecode is made here, because a read-only root file system would pay for it
# at every start, and unchecked, because nothing can change under it.
RUN /opt/pip/bin/pip --python /opt/headgate/bin/python install \
        --no-cache-dir --no-compile --no-deps --only-binary :all: --require-hashes --requirement requirements.lock \
    && find /opt/headgate -type d \( -name tests -o -name __pycache__ \) -path '*/site-packages/*' -prune -exec rm -rf {} + \
    && find /opt/headgate/bin ! -type d ! -name 'python*' -delete \
    && PYTHONHASHSEED=0 /opt/headgate/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/headgate/lib

# ---------------------------------------------------------------------------------------------------------------------
FROM dependencies AS package

COPY pyproject.toml LICENSE ./
COPY operator/headgate operator/headgate
# The package is copied, not built: a build backend would be one more thing to trust. The commands and the metadata that
# an installer would have written come from pyproject.toml, so that scanners and `importlib.metadata` find the package.
RUN /opt/headgate/bin/python -c '\
import pathlib, shutil, sysconfig, tomllib; \
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]; \
name, version, scripts = project["name"], project["version"], project["scripts"]; \
paths = {key: pathlib.Path(value) for key, value in sysconfig.get_paths().items()}; \
shutil.copytree("operator/headgate", paths["purelib"] / "headgate", ignore=shutil.ignore_patterns("__pycache__")); \
info = paths["purelib"] / f"{name}-{version}.dist-info"; \
info.mkdir(); \
(info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"); \
(info / "INSTALLER").write_text("Dockerfile\n"); \
(info / "entry_points.txt").write_text("[console_scripts]\n" + "".join(f"{k} = {v}\n" for k, v in scripts.items())); \
line = "#!{}\nimport sys\n\nfrom {} import {}\n\nsys.exit({}())\n"; \
python = paths["scripts"] / "python"; \
files = {paths["scripts"] / k: line.format(python, *v.split(":"), v.split(":")[1]) for k, v in scripts.items()}; \
[(file.write_text(text), file.chmod(0o755)) for file, text in files.items()]' \
    && PYTHONHASHSEED=0 /opt/headgate/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        /opt/headgate/lib/python3*/site-packages/headgate \
    && /opt/headgate/bin/python -c 'import headgate, kopf, kubernetes.aio' \
    && mkdir /package && cd / && cp -a --parents \
        opt/headgate/bin/*headgate* opt/headgate/lib/python3*/site-packages/headgate* /package/

# ---------------------------------------------------------------------------------------------------------------------
FROM ${BASE} AS runtime

# What the base brought to install packages with is of no use to an operator, and of some to an intruder.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/site-packages/setuptools* \
        /usr/local/lib/python3*/site-packages/wheel* /usr/local/lib/python3*/ensurepip /usr/lib/python3*/ensurepip \
        /usr/share/python-wheels /usr/local/bin/pip* /usr/local/bin/wheel*

# Two layers: a new version of Headgate is a small one, while the dependencies stay.
COPY --from=dependencies /opt/headgate /opt/headgate
COPY --from=package /package/ /
COPY LICENSE /usr/share/doc/headgate/LICENSE

# A user with a name, because libraries ask for it (kopf does at its start) and fail where the number has none. USER answers
# them also where a platform chooses another number.
RUN echo 'headgate:x:65532:65532:Headgate:/tmp:/usr/sbin/nologin' >> /etc/passwd && echo 'headgate:x:65532:' >> /etc/group

# HOME is the one place that the chart makes writable. Faults print a traceback even when the interpreter itself dies.
ENV PATH=/opt/headgate/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    USER=headgate \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    PYTHONUNBUFFERED=1

# By number, so that `runAsNonRoot` can be checked without reading /etc/passwd.
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["headgate-operator"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Headgate" \
      org.opencontainers.image.description="A Kubernetes operator for progressive delivery: rollouts step by step, judged by evidence." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
