"""The panel's style sheet: follows JupyterLab's theme, keeps the focus visible."""

CSS = """<style>
.gradlab {max-width: 1200px; padding: 2px 4px;}
.gradlab .gradlab-picture {width: 100%; max-width: 1200px; height: auto; aspect-ratio: 1000 / 430;
  object-fit: contain;}
.gradlab .gradlab-closeup {width: 100%; height: auto;}
.gradlab .gradlab-row {flex-flow: row wrap; align-items: center; overflow: visible;}
.gradlab .gradlab-group {overflow: visible;}
.gradlab .widget-label {font-size: 13px;}
.gradlab .widget-readout {min-width: 40px; width: 44px; margin: 0 12px 0 2px; text-align: right;}
.gradlab .gradlab-status {font-size: 14px; font-variant-numeric: tabular-nums; line-height: 1.45;
  min-height: 1.45em; color: var(--jp-ui-font-color1, #222);}
.gradlab .gradlab-info {font-size: 14px; line-height: 1.4; color: var(--jp-ui-font-color1, #222); max-width: 900px;
  white-space: normal;}
.gradlab .gradlab-time {font-size: 14px; line-height: 1.4; white-space: normal; max-width: 1100px;
  font-variant-numeric: tabular-nums; color: var(--jp-ui-font-color1, #222);}
.gradlab .gradlab-scrubber {flex: 1 1 420px; min-width: 300px; max-width: 900px; overflow: visible;}
.gradlab .gradlab-scrubber label {display: flex; align-items: center; gap: 8px; font-size: 13px;
  color: var(--jp-ui-font-color1, #222);}
.gradlab .gradlab-scrubber input {flex: 1; height: 24px; margin: 2px 6px; accent-color: #0072b2;}
.gradlab .gradlab-alert {border-left: 4px solid #d55e00; padding: 4px 8px; font-size: 15px;
  color: var(--jp-ui-font-color1, #222); background: var(--jp-layout-color2, #f4f4f4);}
.gradlab .gradlab-alert:empty {display: none;}
.gradlab .gradlab-hidden {position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap;}
.gradlab button:focus-visible, .gradlab select:focus-visible, .gradlab input:focus-visible,
.gradlab .noUi-handle:focus-visible, .gradlab [tabindex]:focus-visible {
  outline: 3px solid #0072b2; outline-offset: 1px;}
.gradlab button.gradlab-play {font-weight: 600;}
body[data-jp-theme-light="false"] .gradlab :is(.gradlab-picture, .gradlab-closeup) {
  filter: invert(1) hue-rotate(180deg);}
</style>"""
