"""Structured results of the tools, and the sentences that say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from imagegateway.mcp.api import ENDED, file_name
from imagegateway.mcp.waiting import jobs
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from imagegateway.mcp.api import Json


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True)

    def structured(self) -> dict[str, Any]:
        """Return the result without the fields that are not set."""
        return self.model_dump(exclude_none=True)


class File(_Result):
    """Image or video."""

    url: Annotated[str, Field(description="Signed URL, valid for 24 hours.")]
    media_type: str | None = None
    width: Annotated[int | None, Field(description="Pixels.")] = None
    height: Annotated[int | None, Field(description="Pixels.")] = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """Name of the file in the API: index and extension."""
        return file_name(self.url)


class Cost(_Result):
    """Cost of a job."""

    amount: float
    currency: str
    estimated: Annotated[bool, Field(description="False: the final cost.")] = True


class Job(_Result):
    """State of a job, with its files once it is completed."""

    job_id: str
    status: Literal["queued", "running", "completed", "failed", "cancelled"]
    model: Annotated[str, Field(description="Model that serves the job.")]
    files: Annotated[list[File], Field(description="Images, or the video, of a completed job.")]
    progress: Annotated[int | None, Field(description="Percent, if the provider reports it.")] = None
    queue_position: Annotated[int | None, Field(description="Jobs ahead of a queued one.")] = None
    cost: Cost | None = None
    warnings: Annotated[list[str], Field(description="Options that were not met exactly.")]
    error: Annotated[str | None, Field(description="Reason of a failed job.")] = None
    next_step: Annotated[str | None, Field(description="What to do now.")] = None

    @classmethod
    def of(cls, job: Json) -> Job:
        """Return the job of an API response."""
        files = [File.model_validate(entry) for entry in job.get("result", {}).get("data", ())]
        cost = job.get("cost", {})
        return cls(
            job_id=job["id"],
            status=job["status"],
            model=job["model"],
            files=files,
            progress=job.get("progress"),
            queue_position=job.get("queue_position"),
            cost=Cost.model_validate(cost) if "amount" in cost else None,
            warnings=[warning["message"] for warning in job.get("warnings", ())],
            error=job.get("error", {}).get("message"),
            next_step=_next_step(job),
        )

    def sentence(self) -> str:
        """Return the state in words, with the URLs of the files."""
        if self.status == "failed":
            return f"The job {self.job_id} failed: {self.error}"
        if self.status != "completed":
            return " ".join(
                [f"The job {self.job_id} is {self.status}{self._details()}.", *filter(None, [self.next_step])]
            )
        if not self.files:
            return f"The job {self.job_id} is completed, and its files are deleted."
        price = f" for {self.cost.amount:g} {self.cost.currency}" if self.cost else ""
        lines = [f"{self.model} completed the job {self.job_id}{price}."]
        lines += [f"{file.url} ({_size(file)})" for file in self.files]
        return "\n".join([*lines, *(f"Note: {warning}" for warning in self.warnings)])

    def _details(self) -> str:
        if self.status == "queued" and self.queue_position is not None:
            return f" with {jobs(self.queue_position)} ahead"
        return f" ({self.progress} %)" if self.status == "running" and self.progress is not None else ""


class Model(_Result):
    """Model of the catalog."""

    id: str
    description: str
    modality: str
    capabilities: list[str]
    available: bool
    max_images: Annotated[int | None, Field(description="Most images per call.")] = None
    max_input_images: Annotated[int | None, Field(description="Most images that edit_image takes.")] = None
    sizes: Annotated[list[str] | None, Field(description="Exact sizes, for models with a fixed list.")] = None
    estimated_cost: Annotated[float | None, Field(description="US dollars of a default request.")] = None
    unavailable_reason: str | None = None

    @classmethod
    def of(cls, model: Json) -> Model:
        """Return the model of an API response."""
        limits = model.get("limits", {})
        return cls(
            id=model["id"],
            description=model["description"],
            modality=model["modality"],
            capabilities=model.get("capabilities", []),
            available=model.get("available", False),
            max_images=limits.get("max_n"),
            max_input_images=limits.get("max_input_images"),
            sizes=limits.get("sizes"),
            estimated_cost=model.get("pricing", {}).get("estimate"),
            unavailable_reason=model.get("unavailable_reason"),
        )


class Models(_Result):
    """Models of the catalog that match."""

    models: list[Model]

    def sentence(self) -> str:
        """Return the models, one a line."""
        lines = [f"{model.id}: {model.description} ({', '.join(model.capabilities)})" for model in self.models] or [
            "No model matches."
        ]
        return "\n".join(lines)


def _next_step(job: Json) -> str | None:
    """Return how a caller gets the result of an unfinished job."""
    if job["status"] in ENDED:
        return None
    return f"Call wait_for_job with job_id {job['id']} for the result, or cancel_job to stop the job."


def _size(file: File) -> str:
    """Return type and size of a file in words."""
    kind = file.media_type or "unknown type"
    return f"{kind}, {file.width}x{file.height}" if file.width and file.height else kind
