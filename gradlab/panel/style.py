"""The panel's style sheet: follows JupyterLab's theme, keeps the focus visible."""

CSS = """<style>
.gradlab {max-width: 1200px; padding: 2px 4px;}
.gradlab .gradlab-picture {width: 100%; max-width: 1200px; height: auto; aspect-ratio: 1000 / 430;
  object-fit: contain;}
.gradlab-lecture {max-width: none !important; --big: 18px; --line: 32px;}
.gradlab-lecture .gradlab-picture {aspect-ratio: 620 / 400; max-width: calc(68vh * 620 / 400);}
.gradlab-lecture .gradlab-main:has(.gradlab-alert) .gradlab-picture {max-width: calc(58vh * 620 / 400);}
.gradlab-lecture .gradlab-main:has(.gradlab-predict:not([style*="display: none"])) .gradlab-picture {
  max-width: calc(40vh * 620 / 400);}
.gradlab-lecture .gradlab-predict .gradlab-info {font-size: 16px !important; line-height: 1.25;}
.gradlab-lecture .widget-vbox:has(> .widget-html > .widget-html-content > .gradlab-time-none) {display: none;}
.gradlab-lecture .gradlab-hall {flex-flow: row wrap; align-items: flex-start; overflow: visible;}
.gradlab-lecture .gradlab-column {flex: 0 1 330px; overflow: visible;}
.gradlab-lecture .gradlab-main {flex: 1 1 420px; overflow: visible;}
.gradlab-lecture .gradlab-row > * {margin: 1px 6px 1px 0;}
.gradlab-lecture :is(.widget-label, .widget-readout, .widget-label-basic, select, input, button.jupyter-button),
.gradlab-lecture :is(.gradlab-status, .gradlab-info, .gradlab-task, .gradlab-alert, .gradlab-badge, .gradlab-time) {
  font-size: var(--big) !important; color: var(--jp-ui-font-color0, #000) !important;}
.gradlab-lecture :is(.gradlab-slow-words, .gradlab-home-words, .gradlab-phase-words, .jp-Collapse-header) {
  font-size: var(--big) !important;}
.gradlab-lecture .gradlab-slow-code div {font-size: 16px !important; line-height: 22px !important;}
.gradlab-lecture .widget-inline-hbox:not(.widget-html),
.gradlab-lecture :is(button.jupyter-button, select, .widget-label, .widget-readout) {
  height: var(--line) !important; line-height: var(--line) !important;}
.gradlab-lecture .widget-inline-hbox {width: auto; align-items: center;}
.gradlab-lecture .gradlab-column :is(.widget-inline-hbox) {width: 322px !important;}
.gradlab-lecture .widget-label {width: auto !important; min-width: 118px; text-align: left; margin-right: 8px;}
.gradlab-lecture .widget-readout {min-width: 62px; width: 62px; margin: 0 !important;}
.gradlab-lecture .widget-dropdown select {padding-top: 0; padding-bottom: 0; min-width: 90px;}
.gradlab-lecture .widget-html, .gradlab-lecture .widget-html-content {height: auto;}
.gradlab-lecture .gradlab-status {font-size: 16px !important;}
.gradlab-lecture > .gradlab-row .widget-dropdown {width: 470px !important;}
.gradlab-lecture .gradlab-column button.widget-toggle-button:not(.gradlab-key-c) {width: 322px !important;}
.gradlab.gradlab-lecture .gradlab-badge {margin-left: 0;}
.gradlab-lecture .gradlab-measure .widget-label {min-width: 76px;}
.gradlab.gradlab-lecture .gradlab-scrubber label {font-size: 16px; color: var(--jp-ui-font-color0, #000);}
.gradlab :is(.gradlab-closeup, .gradlab-slow-picture) {width: 100%; height: auto;}
.gradlab .gradlab-row {flex-flow: row wrap; align-items: center; overflow: visible;}
.gradlab .gradlab-row > .widget-dropdown {margin-right: 10px;}
.gradlab .widget-html:has(> .widget-html-content > style:only-child) {display: none;}
.gradlab .gradlab-group {overflow: visible;}
.gradlab .widget-label {font-size: 13px;}
.gradlab .widget-html:has(> .widget-html-content:empty) {display: none;}
.gradlab .widget-readout {min-width: 40px; width: 44px; margin: 0 12px 0 2px; text-align: right;}
.gradlab .gradlab-status {font-size: 14px; font-variant-numeric: tabular-nums; line-height: 1.45;
  min-height: 1.45em; color: var(--jp-ui-font-color1, #222);}
.gradlab :is(.gradlab-info, .gradlab-task) {font-size: 14px; line-height: 1.4; max-width: 900px;
  white-space: normal; color: var(--jp-ui-font-color1, #222);}
.gradlab .gradlab-predict {border-left: 4px solid #b0508a; padding: 2px 8px; overflow: visible;
  border-top: 1px solid var(--jp-border-color2, #e0e0e0); border-bottom: 1px solid var(--jp-border-color2, #e0e0e0);}
.gradlab .gradlab-predict .gradlab-info {max-width: none;}
.gradlab .gradlab-picture {user-select: none; -webkit-user-drag: none;}
.gradlab .gradlab-time {font-size: 14px; line-height: 1.4; white-space: normal; max-width: 1100px;
  font-variant-numeric: tabular-nums; color: var(--jp-ui-font-color1, #222);}
.gradlab .gradlab-badge {font-size: 13px; line-height: 1.35; padding: 2px 8px; margin-left: 10px; max-width: 560px;
  white-space: normal; color: var(--jp-ui-font-color1, #222); background: var(--jp-layout-color2, #f4f4f4);}
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
  outline: 3px solid #0072b2 !important; outline-offset: 1px;}
.gradlab button.gradlab-play {font-weight: 600;}
body[data-jp-theme-light="false"] .gradlab select {background-image: url("data:image/svg+xml,%3Csvg \
xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E%3Cpath d='M5 7l4 4 4-4' fill='none' stroke='%23eee' \
stroke-width='1.5'/%3E%3C/svg%3E") !important;}
body[data-jp-theme-light="false"] .gradlab :is(.gradlab-picture, .gradlab-closeup, .gradlab-slow-picture) {
  filter: invert(1) hue-rotate(180deg);}
</style>"""
