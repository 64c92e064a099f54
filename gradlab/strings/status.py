"""The status line, and the picture in words."""

EN = {
    "status.counts": "step {step} | updates {updates} | micro-batches {micro_batches} | epoch {epoch} "
    "| samples {samples}",
    "status.loss": "loss {loss}",
    "status.speed": "{speed} steps/s",
    "status.ready": "Ready. Press Play or Step.",
    "status.skipped": "{text}",
    "status.diverged": "{sentence} The step was not applied; training is paused.",
    "status.continued": "{sentence} Training goes on, as Non-finite says.",
    "status.no_view": "Paused: no view of this panel was left.",
    "status.idle": "Paused after {minutes} minutes without a touch.",
    "status.rejected": "Not accepted, nothing was changed: {error}",
    "status.rewound": "Back at step {step}.",
    "status.closed": "This panel is closed.",
    "status.failed": "Stopped by an error: {error}",
    "alt.hidden": "The layers' signals are hidden until you have predicted them; the last hidden layer's is shown.",
    "alt.empty": "Three pictures, empty so far: no step was taken.",
    "alt.loss": "After {steps} steps the loss is {loss}.",
    "alt.profile": "{measure}: largest in layer {largest} at {largest_value}, "
    "smallest in layer {smallest} at {smallest_value}; "
    "layer {first} is {decades} decades {direction} layer {last}.",
    "alt.above": "above",
    "alt.below": "below",
    "alt.odd": "{count} layers {kind}.",
}

ZH: dict[str, str] = {}
