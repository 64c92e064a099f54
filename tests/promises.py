"""What README and the guides promise, and the tests that hold them to it: ``{page: {words on it: tests}}``.

The words are of the sentence, or the row, that promises. A promise without a test does not stand on a page; what a
page measures stands there with the command that measures it.
"""

PROMISES = {
    "README.md": {
        "**Open the lab** in JupyterLab": "test_the_command_gradlab_opens_the_start_notebook_it_has_laid_out",
        "**Run all tests**": "test_ci_runs_the_test_command_word_for_word",
        "with nothing but Python 3.11 or newer": "test_the_python_asked_for_is_one_the_package_accepts",
        "The browser tests use a Chromium": (
            "test_a_chromium_is_taken_from_the_variable_first_and_then_from_the_path "
            "test_without_a_chromium_a_test_is_skipped_and_in_ci_it_fails"
        ),
        "shows each classic failure and its cure in one click": (
            "test_presets_start_anew_and_a_cure_opens_beside_its_failure "
            "test_a_preset_gives_the_same_picture_every_time"
        ),
        "A student moves a slider and sees at once": (
            "test_play_trains_a_drag_moves_the_learning_rate_live_and_pause_stops"
        ),
        "Accumulation, clipping, initialisation and three ways of carrying": (
            "test_the_tables_hold_at_least_the_names_of_the_contract"
        ),
        "All gradients are autograd's": (
            "test_every_config_of_the_golden_set_has_the_same_bits_with_and_without_this_lane"
        ),
        "The pictures never rescale an explosion away": (
            "test_an_axis_starts_with_four_decades_and_widens_in_jumps_that_hold_the_value "
            "test_zero_underflow_non_finite_and_no_gradient_have_marks_of_their_own "
            "test_marks_lie_outside_the_decades_so_that_none_poses_as_a_value"
        ),
        "All norms are measured in float64": "test_norms_are_numpys_also_where_squares_leave_the_range",
        "a run that leaves the finite numbers says": (
            "test_an_activation_that_is_not_finite_is_named_with_the_first_such_layer "
            "test_a_weight_that_overflows_in_the_update_is_named_with_its_layer"
        ),
        "Press **Play**": "test_the_four_steps_end_as_told",
        "brings the last finite state back": (
            "test_a_divergence_is_said_in_words_and_rewind_leads_back_without_an_alarm "
            "test_rewind_after_a_divergence_gives_the_last_finite_state"
        ),
        "What the mouse does, code does": (
            "test_a_slider_and_code_reach_the_same_knob_and_the_packet_answers_the_slider"
        ),
        "one line around a training loop of your own": "test_a_watched_network_is_diagnosed_without_a_config",
        "make one site that needs no": "test_every_page_opens_without_a_network_and_none_of_the_gallery_is_heavy",
        "**On Binder**": "test_the_badges_link_opens_the_start_notebook_and_its_panel_runs",
        "In PowerShell": ("test_the_lines_for_powershell_are_the_commands_in_another_shell"),
        "build is enough: add": ("test_the_cpu_build_named_is_the_torch_that_is_pinned"),
    },
    "docs/guide/student.md": {
        "leave with a script of plain PyTorch that prints the same": "test_the_code_copied_prints_the_losses_shown",
        "a panel plays as long as": "test_nobody_asks_nothing_trains_and_no_thread_is_started",
        "A value that is not accepted is": "test_bad_input_is_explained_and_nothing_is_lost",
        "blue has vanished, red has exploded": (
            "test_a_cell_is_red_above_the_last_layer_blue_below_and_marks_what_is_no_number"
        ),
        "The scale widens when it must": "test_limits_do_not_depend_on_how_the_run_was_cut_into_frames",
        "is drawn as median and range": "test_the_median_and_range_of_a_stretch_are_those_of_its_steps",
        "is the decision boundary under the points": (
            "test_what_was_learned_is_drawn_and_held_out_numbers_stand_beside_it"
        ),
        "Point at anything": (
            "test_pointing_at_a_layer_says_its_value_and_its_ratio_and_a_click_keeps_it "
            "test_the_arrow_keys_walk_the_same_cross_hair"
        ),
        "with the band that a finite width": "test_the_band_holds_the_measured_profile_of_the_data",
        "Where theory is silent it says why": "test_where_theory_is_silent_it_says_why_and_nothing_else",
        "one click tries it": "test_a_click_tries_what_the_diagnosis_suggests",
        "takes one step apart": (
            "test_next_stage_walks_forward_backward_accumulate_clip_update_and_then_the_step_counts"
        ),
        "compares autograd with finite differences": "test_the_gradient_check_is_made_when_it_is_asked_for",
        "adds what is too costly for every step": "test_closer_looks_are_off_at_first_and_survive_a_ruined_network",
        "accumulated gradient is that of one large batch": (
            "test_the_badge_stands_while_gradients_are_accumulated_and_changes_sign_with_the_rule"
        ),
        "the check trains your": "test_the_broken_start_fails_and_says_what_is_wrong",
        "opens the panel on it": "test_a_panel_opened_at_an_exercise_stands_at_its_network_with_the_task_unfolded",
        "Hints come one at a time": "test_choosing_an_exercise_sets_the_knobs_and_check_says_what_is_wrong",
        "copies the run as a script": "test_what_is_taken_home_prints_and_holds_what_was_shown",
        "plain PyTorch that prints the same losses, digit for digit": (
            "test_the_script_of_every_entry_prints_the_losses_of_the_trainer_to_the_last_digit"
        ),
        "a page that plays and scrubs without a kernel": (
            "test_it_plays_to_the_end_and_pauses_without_a_kernel_and_without_a_network"
        ),
        "Grey that rises from below": (
            "test_dead_is_the_share_of_units_that_are_zero_for_every_sample_of_the_window "
            "test_scales_packets_layout_and_pace_hold_under_node"
        ),
        "Exact zeros, underflows and infinities": (
            "test_zero_underflow_non_finite_and_no_gradient_have_marks_of_their_own"
        ),
        "or samples with the network": ("test_what_was_learned_is_drawn_and_held_out_numbers_stand_beside_it"),
    },
    "docs/guide/lecturer.md": {
        "Everything here starts from the same seeds": "test_a_preset_gives_the_same_picture_every_time",
        "gives large type, high contrast and few controls": "test_a_lecture_shows_few_controls_in_large_type",
        "the ones to keep": "test_show_leaves_the_controls_named_in_their_order",
        "shows everything in Chinese": "test_no_english_is_left_in_a_chinese_panel",
        "without one they are in English": (
            "test_without_a_font_pictures_fall_back_to_english "
            "test_a_panel_whose_pictures_cannot_be_chinese_says_what_to_install"
        ),
        "holds the lessons in groups": (
            "test_every_preset_has_a_group_a_title_that_tells_nothing_and_a_cure_its_failure"
        ),
        "Each opens anew": "test_a_preset_always_starts_anew_whatever_differs",
        "two lanes train in lockstep from the same weights and batches": (
            "test_a_cure_or_what_is_none_opens_beside_its_failure "
            "test_lanes_start_from_identical_weights_and_see_identical_batches"
        ),
        "a test holds each to its word on eight seeds": (
            "test_of_eight_seeds_none_learns_to_remember_and_with_the_cure_most_do "
            "test_clipping_rescues_what_overflows_without_it_and_leaves_step_0_as_it_was"
        ),
        "hides the layers of a new network until": (
            "test_all_is_hidden_until_the_reveal_and_then_scored_by_the_measured_signal"
        ),
        "The presets' names give nothing away": "test_the_names_of_presets_do_not_give_the_answer_away",
        "says what was at step 0 and what is now": (
            "test_a_verdict_keeps_step_0_and_now_apart_and_never_calls_an_explosion_healthy"
        ),
        "at first ten steps a second": ("test_paced_play_takes_ten_steps_a_second_and_the_fastest_pace_hundreds"),
        "keeps the settings as lane A": (
            "test_the_button_opens_lane_a_and_the_controls_move_lane_b_alone "
            "test_the_panel_says_which_knobs_differ_and_who_is_ahead"
        ),
        "keeps a run as a ghost": "test_the_ghost_is_named_by_the_settings_that_differ_from_the_present_ones",
        "shows any recorded step in every picture": (
            "test_the_time_slider_reaches_every_step_by_keys_and_one_click_makes_a_step_live"
        ),
        "goes back to it, bit for bit": "test_rewind_gives_the_state_after_that_many_steps_bit_for_bit",
        "Marks show where knobs moved": "test_moved_knobs_and_failed_steps_stand_on_the_time_axis",
        "takes one step stage by stage": (
            "test_slow_motion_takes_one_step_stage_by_stage_on_the_strip "
            "test_each_stage_marks_its_lines_and_only_them"
        ),
        "take effect at the next step": "test_a_live_knob_keeps_the_run_and_another_starts_it_again",
        "with an experiment to predict before it is run": (
            "test_a_lecture_asks_for_predictions_shows_the_panel_and_repeats_the_experiment_without_it"
        ),
        "their findings stand in cells whose values": (
            "test_its_findings_are_values_of_no_more_digits_than_another_machine_can_repeat"
        ),
        "`gradlab` lays them out": (
            "test_the_notebooks_are_laid_out_in_a_directory_that_did_not_exist "
            "test_further_options_go_to_jupyterlab_with_and_without_a_directory"
        ),
        "A notebook that you have changed is never overwritten": "test_a_changed_file_is_kept_whatever_the_version",
        "lays out the edition for students": (
            "test_students_get_questions_without_outputs_and_solutions_and_panels_that_ask_first"
        ),
        "the same one as printed there": (
            "test_the_articles_preset_is_the_articles_network_made_well_posed "
            "test_the_article_as_printed_says_in_one_sentence_why_it_cannot_be_trained"
        ),
        "Build the image as `binder/` does": (
            "test_what_binder_installs_is_part_of_the_environment_that_this_suite_runs_in"
        ),
    },
    "docs/guide/engineer.md": {
        "one line around it records every step": (
            "test_every_column_is_what_one_computes_by_hand test_a_watched_loop_is_bit_for_bit_the_unwatched_one"
        ),
        "Nothing is put on the network": "test_copies_and_files_made_inside_the_block_carry_nothing",
        "no device is waited for but once a recorded step": "test_a_step_that_is_not_recorded_reads_nothing",
        "an error inside the instrument warns": (
            "test_an_error_of_the_instrument_warns_once_and_the_loop_runs_on_as_if_unwatched"
        ),
        "Several optimizers go in as a list": "test_two_optimizers_that_step_together_make_one_record",
        "names the operation, file and line": (
            "test_a_trace_names_the_operation_that_made_what_is_not_finite_with_its_line"
        ),
        "puts the stage below the cell and feeds it": (
            "test_the_stage_of_a_watched_loop_repaints_while_the_cell_runs_and_stands_there_again_afterwards "
            "test_a_stage_made_before_the_loop_has_its_end_and_folds_layers_to_blocks"
        ),
        "Lightning and transformers get it as a callback": (
            "test_a_fit_of_lightning_is_recorded test_a_training_of_transformers_is_recorded "
            "test_tensorboard_gets_the_scalars test_weights_and_biases_gets_the_scalars_offline "
            "test_mlflow_gets_the_metrics"
        ),
        "take `(network, loss, (X, y))`": ("test_the_looks_at_a_network_and_a_batch_are_those_at_a_run_of_one_batch"),
        "The network is copied": "test_network_and_data_are_cast_to_the_precision_and_the_originals_stay",
        "floats are targets": "test_float_targets_set_the_output_width_and_a_flat_one_is_a_column",
        "takes any other `loss(output, y)`": "test_a_loss_of_ones_own_may_take_any_output",
        "A network that cannot be trained as it is": (
            "test_a_weird_network_gets_a_clear_error_before_the_first_step test_a_network_that_cannot_be_trained"
        ),
        "`Trainer` has no display": "test_the_engine_needs_neither_matplotlib_nor_widgets_nor_pandas",
        "gives the same numbers, bit for bit on one machine": (
            "test_two_runs_of_one_config_are_bit_equal_in_every_column_but_the_clock"
        ),
        "`Config.knobs()` describes every field": (
            "test_every_field_has_a_label_a_help_text_and_a_default_within_its_own_slider"
        ),
        "the two are compared on your machine bit for bit": (
            "test_a_machine_whose_kernels_differ_from_autograd_runs_autograd"
        ),
        "measures whether the next step's accumulated": (
            "test_the_mean_over_samples_is_one_batch_for_even_and_uneven_micro_batches "
            "test_every_accumulation_rule_gets_a_verdict_with_a_reason_or_none_is_needed"
        ),
        "trains as everybody does in half precision": (
            "test_a_half_run_has_the_bits_of_a_plain_loop_with_master_weights"
        ),
        "every entry rounded to exactly 0": (
            "test_without_a_loss_scale_the_first_layer_gets_exactly_nothing_on_every_seed"
        ),
        "says of any run what a format would make of it": "test_shares_are_those_of_torchs_casts",
        "`compare` trains paired lanes in lockstep": (
            "test_lanes_go_step_by_step_in_turn test_a_lane_is_the_same_run_as_alone_whoever_is_beside_it"
        ),
        "the numbers that each one's own `Trainer` would give": (
            "test_a_stacked_network_is_its_own_trainers_run_for_every_architecture "
            "test_a_stacked_network_is_its_own_trainers_run_for_every_optimizer"
        ),
        "is any `concurrent.futures.Executor`": (
            "test_a_pool_of_processes_gives_bit_for_bit_the_same_results test_threads_work_too "
            "test_a_dask_cluster_gives_the_same_results_and_a_killed_worker_loses_nothing"
        ),
        "does in the panel what `compare` does here": (
            "test_each_lane_is_the_run_that_its_settings_give_alone_bit_for_bit"
        ),
        "records every tenth step": ("test_a_step_that_is_not_recorded_reads_nothing"),
        "the trained one is": ("test_network_and_data_are_cast_to_the_precision_and_the_originals_stay"),
        "the state after 30 steps, bit for bit": ("test_rewind_gives_the_state_after_that_many_steps_bit_for_bit"),
        "ends it": ("test_uncompare_drops_lane_a_and_lane_b_goes_on"),
    },
    "docs/guide/grader.md": {
        "`check` takes what a student hands in": (
            "test_a_trainer_a_lab_and_a_config_are_the_same_to_a_check test_knobs_are_changes_to_what_is_given"
        ),
        "Only the config counts": "test_weights_that_were_trained_under_other_rules_do_not_count",
        "nothing is trained, and the rule is named": (
            "test_what_must_stay_is_refused_by_name_even_on_top_of_a_solution"
        ),
        "`seeds=` takes seeds of your own": "test_a_grader_may_use_seeds_of_its_own",
        "writes one file without any code in it": (
            "test_a_saved_history_is_loaded_with_everything_it_said test_flipped_bits"
        ),
        "carry the settings": "test_a_config_survives_dict_json_pickle_and_repr",
        "so the value cells print what every machine repeats": (
            "test_its_findings_are_values_of_no_more_digits_than_another_machine_can_repeat"
        ),
        "lays out the lectures without outputs and solutions": (
            "test_students_get_questions_without_outputs_and_solutions_and_panels_that_ask_first "
            "test_the_command_lays_the_student_edition_out_beside_the_answers_and_starts_nothing"
        ),
        "five seeds, four of which": (
            "test_a_sound_answer_may_miss_one_seed_in_five_and_a_graders_share_is_the_same"
        ),
        "never: ": ("test_answers_pass_guesses_hardly_ever_and_wrong_ideas_never"),
        "changed is never overwritten": ("test_a_changed_file_is_kept_whatever_the_version"),
    },
    "docs/guide/extending.md": {
        "One decorated function, in a cell or in a module": (
            "test_what_a_user_registers_is_accepted_and_used_without_another_edit"
        ),
        "is refused at once, by name": (
            "test_a_duplicate_name_is_refused test_an_entry_without_a_summary_is_refused "
            "test_a_wrong_signature_is_refused"
        ),
        "cell again replaces the entry": "test_a_notebook_cell_can_be_run_again",
        "False skips the update": "test_a_carry_over_that_answers_is_obeyed",
        "draws; what it returns is called again": "test_an_own_plot_is_one_function_and_may_draw_plainly",
        "opens it beside what it cures": "test_a_cure_or_what_is_none_opens_beside_its_failure",
        "what it does not read is greyed": ("test_an_architecture_says_which_knobs_it_uses_and_those_alone_matter"),
        "the function above is copied into it": (
            "test_the_script_of_an_entry_of_ones_own_prints_the_losses_of_the_trainer"
        ),
        "a lambda is refused there": "test_an_entry_that_cannot_be_copied_is_refused_by_name",
        "The trainer knows no picture": "test_a_module_imports_only_from_below",
        "adds its entries to everybody": ("test_another_distribution_adds_to_a_table_when_it_is_first_asked"),
        "so that the same seeds give the same run": ("test_whatever_draws_names_its_generator"),
        "sees while it predicts": ("test_every_preset_has_a_group_a_title_that_tells_nothing_and_a_cure_its_failure"),
        "of the float32 master weights": ("test_a_half_run_has_the_bits_of_a_plain_loop_with_master_weights"),
    },
    "docs/guide/notebook.md": {
        "Running a cell again closes the panel it made before": (
            "test_running_the_cell_again_closes_its_panel_and_two_panels_play_at_once"
        ),
        "A panel that nobody sees asks once a second": "test_scales_packets_layout_and_pace_hold_under_node",
        "gradlab starts no thread": (
            "test_a_panel_that_plays_starts_no_thread_and_no_process "
            "test_nothing_else_starts_a_thread_or_a_process_either"
        ),
        "a front end that drops messages": ("test_where_messages_of_finished_requests_are_dropped_the_panel_plays"),
        "With ipykernel 6 a panel waits while a cell runs": (
            "test_in_a_kernel_that_takes_one_message_after_another_a_panel_waits_while_a_cell_runs"
        ),
        "An exception while it plays, an interrupt too": (
            "test_an_exception_while_playing_is_said_and_pauses "
            "test_an_interrupt_while_playing_is_said_and_pauses "
            "test_an_interrupt_in_a_cell_that_runs_leaves_a_whole_step_on_the_stage"
        ),
        "Where a front end does not load the panel's script": (
            "test_where_the_module_cannot_load_words_and_still_pictures_take_its_place"
        ),
        "A notebook keeps a picture of each panel": ("test_the_repr_is_short_and_a_picture_travels_with_the_widget"),
        "keeps the run itself, which an exported page plays": (
            "test_a_panel_with_a_replay_keeps_its_run_in_the_notebook "
            "test_an_exported_page_shows_the_picture_and_plays_the_replay_offline"
        ),
        "marimo shows no boxes of widgets": "test_marimo_is_given_the_stage_alone",
        "lets its kernels compute with one thread": (
            "test_kernels_compute_with_one_thread_unless_the_user_says_otherwise"
        ),
        "The panel says so when it happens": "test_threads_that_wait_for_one_another_are_told_with_what_to_do",
        "these keys work, and JupyterLab's own do not": (
            "test_alt_and_a_letter_press_buttons_and_jupyterlab_sees_no_other_key"
        ),
        "The arrow keys walk through layers": "test_the_arrow_keys_walk_the_same_cross_hair",
        "or gigabytes, is refused in words": (
            "test_what_would_hold_a_panel_up_for_minutes test_a_map_of_networks_too_large_is_refused_in_words"
        ),
        "up to 1000 layers": "test_bounds_are_where_they_say",
        "Rewinding replays from the last snapshot": "test_a_long_run_can_still_go_far_back",
        "A long history is thinned": "test_a_long_run_keeps_bounded_memory_step_zero_and_both_ends_true",
        "number of threads stays as it is": (
            "test_an_import_starts_no_thread_and_no_process_and_leaves_torchs_threads"
        ),
        "there the same seeds give the same bits": (
            "test_two_runs_of_one_config_are_bit_equal_in_every_column_but_the_clock"
        ),
    },
    "docs/guide/development.md": {
        "everything in a fresh environment, then ruff and pyright": "test_ci_runs_the_test_command_word_for_word",
        "Each module imports only from those before it": (
            "test_a_module_imports_only_from_below "
            "test_no_file_imports_itself_round_a_corner_delayed_imports_included"
        ),
        "The trainer knows no picture, the pictures no widget": (
            "test_matplotlib_is_used_by_plots_alone_and_widgets_by_the_panel_alone"
        ),
        "A step is a transaction": "test_a_step_interrupted_at_any_line_is_taken_or_not",
        "One rule has one definition": (
            "test_the_lines_shown_train_as_the_trainer_does_whatever_the_rules "
            "test_a_stacked_network_is_its_own_trainers_run_for_every_accumulation_and_carry_over"
        ),
        "fills the repository": ("test_one_command_fills_the_address_in_and_moves_it"),
        "A new preset gets its page": ("test_every_page_opens_without_a_network_and_none_of_the_gallery_is_heavy"),
    },
}
