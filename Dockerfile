# One image for every process of fxmesh: the command says which.
#
#     docker build -t fxmesh .
#     docker run fxmesh python -m services.trading_gateway
#
# The base is named, not pinned by digest: pin it in BASE where builds must be repeatable to the byte.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY requirements requirements
COPY tools/image tools/image
COPY interceptors interceptors
COPY edge edge
COPY services services
COPY gen gen
RUN tools/image/install.sh /opt/fxmesh

FROM ${BASE}
# LightGBM's threads; the wheels bring everything else.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/fxmesh /opt/fxmesh
ENV PATH=/opt/fxmesh/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONFAULTHANDLER=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    FXMESH_HOST=0.0.0.0 \
    FXMESH_DATA_DIR=/var/lib/fxmesh
RUN install --directory --owner=10001 --group=10001 /var/lib/fxmesh
WORKDIR /var/lib/fxmesh
USER 10001:10001
CMD ["fxmesh", "--help"]
