"""Attributes of what is not the house's own: MicroPython's types and modules, and the hardware of its ports.

No attribute of the house that bears one of these words is given another name, since the same word may be asked of
either. They are the names in MicroPython 1.29's interpreter and in its stubs for the rp2 and esp32 ports, all modules,
and in Python's own types; a test compares them with the interpreter and with the emulated boards' modules.
"""

ATTRIBUTES = frozenset(
    """
    ADC ADCBlock ADCWiPy ADDR_LEN AF_INET AF_INET6 AF_UNIX AIOESPNow ALARM0 ALT ALT_GPCK ALT_I2C ALT_OPEN_DRAIN ALT_PIO0
    ALT_PIO1 ALT_PWM ALT_SIO ALT_SPI ALT_UART ALT_USB ANALOG APA106 AP_IF ARRAY ATTN_0DB ATTN_11DB ATTN_2_5DB ATTN_6DB
    AUTH_OPEN AUTH_WEP AUTH_WPA2_PSK AUTH_WPA_PSK AUTH_WPA_WPA2_PSK AUTO AbstractBlockDev AbstractNIC ArithmeticError
    AssertionError AttributeError BANDWIDTH_20 BFINT16 BFINT32 BFINT8 BFUINT16 BFUINT32 BFUINT8 BF_LEN BF_POS BIG_ENDIAN
    BLE BOOT BUILTIN_CDC BUILTIN_CDC_MSC BUILTIN_DEFAULT BUILTIN_MSC BUILTIN_NONE BaseException BytesIO CERT_NONE
    CERT_OPTIONAL CERT_REQUIRED CONTROLLER CORE_TEMP CORE_VBAT CORE_VREF CTS CancelledError Const_T DEEPSLEEP
    DEEPSLEEP_RESET DESC DHT11 DHT22 DHTBase DMA DMATimer DRIVE_0 DRIVE_1 DRIVE_2 DS18X20 DeflateIO EACCES EADDRINUSE
    EAGAIN EALREADY EBADF ECONNABORTED ECONNREFUSED ECONNRESET EEXIST EHOSTUNREACH EINPROGRESS EINVAL EIO EISDIR ENOBUFS
    ENODEV ENOENT ENOMEM ENOTCONN ENOTSUP EOFError EOPNOTSUPP EPERM ESPNow ESPNowBase ETIMEDOUT EXT0_WAKE EXT1_WAKE
    EXT_GPIO0 EXT_GPIO1 EXT_GPIO2 Ellipsis Event Exception FLAG_INDICATE FLAG_NOTIFY FLAG_READ FLAG_WRITE
    FLAG_WRITE_NO_RESPONSE FLOAT32 FLOAT64 Flash FrameBuffer FrameBuffer1 GP0 GP1 GP10 GP11 GP12 GP13 GP14 GP15 GP16
    GP17 GP18 GP19 GP2 GP20 GP21 GP22 GP26 GP27 GP28 GP3 GP4 GP5 GP6 GP7 GP8 GP9 GPIO0 GPIO1 GPIO10 GPIO11 GPIO12 GPIO13
    GPIO14 GPIO15 GPIO16 GPIO17 GPIO18 GPIO19 GPIO2 GPIO20 GPIO21 GPIO22 GPIO23 GPIO24 GPIO25 GPIO26 GPIO27 GPIO28
    GPIO29 GPIO3 GPIO4 GPIO5 GPIO6 GPIO7 GPIO8 GPIO9 GS2_HMSB GS4_HMSB GS8 GZIP GeneratorExit HARD_RESET HEAP_DATA
    HEAP_EXEC I2C I2CTarget I2S IDLE ID_T IF_AP IF_STA IN INCL INT INT16 INT32 INT64 INT8 INV_RX INV_TX IN_HIGH IN_LOW
    IOBase IOQueue IPPROTO_IP IPPROTO_SEC IPPROTO_TCP IPPROTO_UDP IP_ADD_MEMBERSHIP IP_DROP_MEMBERSHIP
    IRQ_ADDR_MATCH_READ IRQ_ADDR_MATCH_WRITE IRQ_BREAK IRQ_END_READ IRQ_END_WRITE IRQ_FALLING IRQ_HIGH_LEVEL
    IRQ_LOW_LEVEL IRQ_READ_REQ IRQ_RISING IRQ_RX IRQ_RXIDLE IRQ_SM0 IRQ_SM1 IRQ_SM2 IRQ_SM3 IRQ_TXIDLE IRQ_WRITE_REQ
    ImportError IndentationError IndexError JOIN_NONE JOIN_RX JOIN_TX KEY_LEN KeyError KeyboardInterrupt LAN LED
    LITTLE_ENDIAN LOG_DEBUG LOG_ERROR LOG_INFO LOG_NONE LOG_VERBOSE LOG_WARNING LONG LONGLONG LSB Lock LockType
    LookupError Loop MATCH_ROM MAX_DATA_LEN MAX_ENCRYPT_PEER_NUM MAX_TOTAL_PEER_NUM MBEDTLS_VERSION MODE_CBC MODE_CTR
    MODE_ECB MONO MONO_HLSB MONO_HMSB MONO_VLSB MSB MSG_DONTROUTE MSG_DONTWAIT MSG_PEEK MVLSB MemoryError NATIVE NVS
    NameError NeoPixel NotImplemented NotImplementedError ONE_SHOT OPEN_DRAIN ORDER OSError OUT OUT_HIGH OUT_LOW OneWire
    OneWireError OrderedDict OverflowError PCNT PERIODIC PIN_WAKE PIO PIOASMEmit PIOASMError PM_NONE PM_PERFORMANCE
    PM_POWERSAVE POLLERR POLLHUP POLLIN POLLOUT PPP PROTOCOL_DEFAULT PROTOCOL_DTLS_CLIENT PROTOCOL_DTLS_SERVER
    PROTOCOL_LR PROTOCOL_TLS_CLIENT PROTOCOL_TLS_SERVER PTR PULL_DOWN PULL_HOLD PULL_UP PULSE_MAX PWM PWRON_RESET
    Partition Pin PinBase RATE_11M RATE_12M RATE_1M RATE_24M RATE_2M RATE_54M RATE_5M RATE_6M RATE_LORA_250K
    RATE_LORA_500K RAW RGB565 RMT RTC RTC_WAKE RTS RUNNING RX RingIO RuntimeError SDCard SEARCH_ROM SEC_CHAP SEC_NONE
    SEC_OPEN SEC_PAP SEC_WEP SEC_WPA SEC_WPA2 SEC_WPA2_ENT SEC_WPA2_WPA3 SEC_WPA3 SEC_WPA_WPA2 SHIFT_LEFT SHIFT_RIGHT
    SHORT SKIP_ROM SLEEP SLEEP_LIGHT SLEEP_MODEM SLEEP_NONE SOCK_DGRAM SOCK_RAW SOCK_STREAM SOFT_RESET SOL_SOCKET
    SO_BROADCAST SO_ERROR SO_KEEPALIVE SO_LINGER SO_REUSEADDR SPI SSLContext STAT_ASSOC_FAIL STAT_BEACON_TIMEOUT
    STAT_CONNECTING STAT_CONNECT_FAIL STAT_GOT_IP STAT_HANDSHAKE_TIMEOUT STAT_IDLE STAT_NO_AP_FOUND STAT_WRONG_PASSWORD
    STA_IF STEREO Server Signal SingletonGenerator Socket SoftI2C SoftSPI StateMachine StopAsyncIteration StopIteration
    Stream StreamReader StreamWriter StringIO SyntaxError SystemExit TCP_NODELAY TIMER_WAKE TOUCHPAD_WAKE TX TYPE_APP
    TYPE_DATA Task TaskQueue ThreadSafeFlag TimeoutError Timer TypeError UART UINT UINT16 UINT32 UINT64 UINT8 ULONG
    ULONGLONG ULP_WAKE USBDevice USHORT UUID UnicodeError VOID VREF ValueError VfsFat VfsLfs1 VfsLfs2 VfsPosix VfsRom
    ViperTypeError WAKEUP_ALL_LOW WAKEUP_ANY_HIGH WDT WDT_RESET WIDTH_10BIT WIDTH_11BIT WIDTH_12BIT WIDTH_13BIT
    WIDTH_9BIT WLAN WLANWiPy WLAN_WAKE WL_GPIO0 WL_GPIO1 WL_GPIO2 XFER_FAILED XFER_STALLED XFER_SUCCESS ZLIB
    ZeroDivisionError a a2b_base64 abs accept aclose acos acosh acquire active add add_note add_peer add_program
    addressof aes airecv alarm all alloc_emergency_exception_buf allocate_lock antenna any append appendleft arecv args
    argv array as_integer_ratio asend asin asinh asm_pio asm_pio_encode asm_thumb asm_xtensa asyncio atan atan2 atanh
    atexit atten auth awrite awritestr b b2a_base64 bdev bin binascii bind bit_count bit_length bitstream
    bitstream_channel bitstream_rmt blit block block_size board bool bootloader bootsel_button bpp buf buffer builtins
    bytearray bytearray_at byteorder bytes bytes_at c_contiguous calcsize call_exception_handler callable callback
    capitalize casefold cast ceil center channel characters_written chdir check_bootsec choice chr classmethod clear
    clock clock_div close closed collect collections commit compile complex config conjugate connect const contiguous
    convert_temp copy copysign core cos cosh count country cpu crc32 crc8 create_task cryptolib cur_task current_task
    datetime decode decrypt deepsleep default_exception_handler deflate degrees deinit del_peer delattr delay deleter
    denominator deque desc_cfg desc_dev detach dht_readinto dict difference difference_update digest digest_size dir
    disable disable_irq discard disconnect divmod drain drive dump dumps duty_ns duty_u16 e ellipse enable enable_irq
    encode encoding encrypt end endswith enumerate ep_max erase_key erf erfc errno errorcode errors eval event exc_info
    exec execfile executable exit exp expandtabs expm1 extend f_contiguous fabs factorial feed filename filename2 fileno
    fill fill_rect filter find flash_erase flash_read flash_size flash_user_start flash_write float floor flush fmod
    format format_map framebuf freq frexp from_bytes fromhex fromkeys frozenset fs fs_corrupted gamma gap_advertise
    gap_connect gap_disconnect gap_scan gather gattc_discover_characteristics gattc_discover_descriptors
    gattc_discover_services gattc_exchange_mtu gattc_read gattc_write gatts_indicate gatts_notify gatts_read
    gatts_register_services gatts_set_buffer gatts_write gc get get_blob get_ciphers get_event_loop
    get_exception_handler get_extra_info get_i32 get_ident get_next_update get_peer get_peers getaddrinfo getattr
    getbuffer getcwd getenv getrandbits getter getvalue gi_code gi_frame gi_running gi_suspended gi_yieldfrom globals
    gmtime gpio gpio_matrix_in gpio_matrix_out hasattr hash hashlib heap_lock heap_unlock heapify heappop heappush heapq
    help hex hexdigest hexlify high hline hostname humidity id idf_heap_info idle ifconfig ifempty iffull ilistdir imag
    implementation in_ index inet_ntop inet_pton inf info init input insert int intersection intersection_update invert
    io ioctl ipconfig ipoll irecv irq irq_next irq_prev is_integer is_set isalnum isalpha isascii isatty isclose
    isconnected isdecimal isdigit isdisjoint isenabled isfinite isidentifier isinf isinstance islower isnan isnumeric
    isprintable isr isspace issubclass issubset issuperset istitle isupper items itemsize iter itf_max jmp jmppin join
    json kbd_intr keys label ldexp len lgamma libc_ver lightsleep line line_buffering list listdir listen ljust load
    load_cert_chain load_verify_locations loads locals localtime locked log log10 log2 loop loop_count low lower lstrip
    mac machine makefile maketrans map mark_app_valid_cancel_rollback match math max maxsize mcu_temperature md5 measure
    mem16 mem32 mem8 mem_alloc mem_backup mem_current mem_free mem_info mem_peak mem_total memory memoryview micropython
    min mkdir mkfs mktime mod_peer mode modf modify modules mount mov n name namedtuple nan native nbytes ndim
    new_event_loop newlines next noblock nop not_osre not_x not_y null numerator obj object oct off on open
    open_connection opt_level ord os osdebug osr out ow pack pack_ctrl pack_into partition path pc peek peer_count
    peers_table pend_throw phase pi pin pindirs pins pixel platform polar poll poll_key poller poly pop popitem popleft
    pow prev print print_exception print_pcbs property ps1 ps2 pull push put putenv python_compiler qstr_info queue_read
    queue_write radians randint random randrange range raw re read read1 read_scratch read_temp read_u16 readable
    readbit readblocks readbyte readexactly readfrom readfrom_into readfrom_mem readfrom_mem_into readinto readinto1
    readline readlines readonly real reason reconfigure rect recv recvfrom recvinto register rel release remote_wakeup
    remove remove_program removeprefix removesuffix rename replace repr reset reset_cause restart reverse reversed rfind
    rindex rjust rmdir rom_ioctl round route rpartition rsplit rstrip run run_forever run_until_complete rx_fifo scan
    schedule scroll search seed seek seekable select select_rom send send_ethernet sendall sendbreak sendto sep set
    set_blob set_boot set_ciphers set_exception_handler set_i32 set_native_code_location set_pmk setattr setblocking
    setdefault setsockopt setter settimeout setup sha1 sha256 shape shift side sin sinh sizeof sleep sleep_ms sleep_type
    sleep_us slice sockaddr socket soft_reset sort sorted source_freq split splitlines sqrt ssid ssl stack_size
    stack_use stall start start_new_thread start_server startswith stat state_machine staticmethod stats status statvfs
    stderr stdin stdout step stop str str_max stream stream_awrite strerror strides strip struct sub submit_xfer
    suboffsets sum super swapcase symmetric_difference symmetric_difference_update sys system tan tanh tau tell
    temperature text threshold throw ticks ticks_add ticks_cpu ticks_diff ticks_ms ticks_us time time_ns time_pulse_us
    timing title tls to_bytes tobytes toggle tolist toreadonly translate trunc truncate tuple tx_fifo txdone type
    uctypes umount unhexlify uniform union unique_id unlink unpack unpack_ctrl unpack_from unregister unsetenv update
    upper urandom value values verify_mode version version_info vfs viper vline wait wait_closed wait_done wait_for
    wait_for_ms wait_io_event wake_on_ext0 wake_on_ext1 wake_on_gpio wake_pins wake_reason websocket width
    with_traceback word wrap wrap_socket wrap_target writable write write_pulses write_readinto write_scratch
    write_through writebit writeblocks writebyte writelines writeto writeto_mem writevto x x_dec x_not_y y y_dec zfill
    zip
    """.split()  # noqa: SIM905  a list of words has a word a line, or twice the width
)
