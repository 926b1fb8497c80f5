"""The Asterisk modules that are loaded, in this order; what an installation lacks is left out, unless required."""

REQUIRED_MODULES = frozenset(
    """
    res_pjproject res_pjsip res_pjsip_session chan_pjsip res_rtp_asterisk pbx_config
    app_stasis app_dial app_stack app_mixmonitor app_playback app_record app_read app_exec
    res_stasis res_ari res_ari_channels res_ari_bridges res_ari_events res_ari_playbacks func_env func_db
    """.split()  # noqa: SIM905 - a column of eighty quoted names is harder to read
)

MODULES = tuple(
    """
    res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb res_crypto res_security_log
    res_http_websocket res_websocket_client
    res_pjproject res_pjsip res_pjsip_session res_pjsip_sdp_rtp res_pjsip_caller_id res_pjsip_nat
    res_pjsip_endpoint_identifier_ip res_pjsip_endpoint_identifier_user
    res_pjsip_authenticator_digest res_pjsip_outbound_authenticator_digest res_pjsip_outbound_registration
    res_pjsip_registrar res_pjsip_path res_pjsip_dtmf_info res_pjsip_header_funcs res_pjsip_rfc3326
    res_pjsip_diversion res_pjsip_logger res_pjsip_history res_pjsip_dlg_options res_pjsip_acl
    res_pjsip_maintenance res_pjsip_pubsub chan_pjsip func_pjsip_aor func_pjsip_contact func_pjsip_endpoint
    res_rtp_asterisk res_rtp_multicast res_srtp res_format_attr_opus
    bridge_simple bridge_softmix bridge_holding bridge_native_rtp bridge_builtin_features chan_bridge_media
    codec_ulaw codec_alaw codec_a_mu codec_resample codec_g722 codec_gsm codec_opus_open_source
    format_wav format_pcm format_sln format_gsm
    chan_websocket chan_rtp res_audiosocket app_audiosocket chan_audiosocket
    res_stasis res_stasis_answer res_stasis_device_state res_stasis_playback res_stasis_recording
    res_stasis_snoop res_stasis_broadcast app_stasis app_stasis_broadcast
    res_ari res_ari_model res_ari_applications res_ari_asterisk res_ari_bridges res_ari_channels
    res_ari_device_states res_ari_endpoints res_ari_events res_ari_playbacks res_ari_recordings res_ari_sounds
    app_dial app_playback app_mixmonitor app_record app_amd app_senddtmf app_verbose app_echo app_stack app_read
    app_exec app_userevent app_chanspy app_softhangup app_talkdetect app_waitforsilence app_while app_bridgewait
    func_callerid func_channel func_cut func_db func_devstate func_env func_global func_groupcount
    func_hangupcause func_logic func_math func_periodic_hook func_strings func_timeout func_volume
    func_talkdetect func_rand func_sprintf func_module func_uri func_base64 func_jitterbuffer func_uuid func_json
    pbx_config pbx_spool res_tonedetect res_mutestream res_musiconhold res_manager_devicestate
    """.split()  # noqa: SIM905
)
