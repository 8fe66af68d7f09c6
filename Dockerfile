# One image for every service: `ro` is its entry point, the compose file names the verb.
FROM python:3.13-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /src
COPY . .
RUN UV_PROJECT_ENVIRONMENT=/opt/ro uv sync --locked --no-dev --no-editable

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home ro
COPY --from=build /opt/ro /opt/ro
ENV PATH=/opt/ro/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/ro
ENTRYPOINT ["ro"]
