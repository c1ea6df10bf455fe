"""The kernel's event names, the names that LTTng's users know them by, and patterns over both."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Literal, NamedTuple

Which = Literal["all", "tracepoint", "syscall"]
"""What a name may stand for, as ``lttng enable-event`` has it: no option, ``--tracepoint``, ``--syscall``."""

SYSCALLS = "syscalls"
_SYSCALL_NAMES = (("sys_enter_", "syscall_entry_"), ("sys_exit_", "syscall_exit_"))
_THREAD_SYSTEMS = ("sched", "task")
_NOT_IN_ALL = ("raw_syscalls", "ftrace")
"""What ``--all`` leaves out: every system call a second time, and the function tracer's own records."""

_LTTNG_NAMES = {
    "add_delayed_data_ref": "btrfs_add_delayed_data_ref",
    "add_delayed_ref_head": "btrfs_add_delayed_ref_head",
    "add_delayed_tree_ref": "btrfs_add_delayed_tree_ref",
    "balance_dirty_pages": "writeback_balance_dirty_pages",
    "bdi_dirty_ratelimit": "writeback_bdi_dirty_ratelimit",
    "console": "printk_console",
    "consume_skb": "skb_consume",
    "cpu_frequency": "power_cpu_frequency",
    "cpu_idle": "power_cpu_idle",
    "fast_page_fault": "kvm_mmu_fast_page_fault",
    "folio_wait_writeback": "writeback_folio_wait",
    "global_dirty_state": "writeback_global_dirty_state",
    "handle_mmio_page_fault": "kvm_mmu_handle_mmio_page_fault",
    "hrtimer_cancel": "timer_hrtimer_cancel",
    "hrtimer_expire_entry": "timer_hrtimer_expire_entry",
    "hrtimer_expire_exit": "timer_hrtimer_expire_exit",
    "hrtimer_init": "timer_hrtimer_init",
    "hrtimer_start": "timer_hrtimer_start",
    "itimer_expire": "timer_itimer_expire",
    "itimer_state": "timer_itimer_state",
    "kfree": "kmem_kfree",
    "kfree_skb": "skb_kfree",
    "kmalloc": "kmem_kmalloc",
    "kvm_apic": "kvm_x86_apic",
    "kvm_apic_accept_irq": "kvm_x86_apic_accept_irq",
    "kvm_apic_ipi": "kvm_x86_apic_ipi",
    "kvm_cpuid": "kvm_x86_cpuid",
    "kvm_cr": "kvm_x86_cr",
    "kvm_emulate_insn": "kvm_x86_emulate_insn",
    "kvm_entry": "kvm_x86_entry",
    "kvm_eoi": "kvm_x86_eoi",
    "kvm_exit": "kvm_x86_exit",
    "kvm_hv_hypercall": "kvm_x86_hv_hypercall",
    "kvm_hypercall": "kvm_x86_hypercall",
    "kvm_inj_exception": "kvm_x86_inj_exception",
    "kvm_inj_virq": "kvm_x86_inj_virq",
    "kvm_invlpga": "kvm_x86_invlpga",
    "kvm_msr": "kvm_x86_msr",
    "kvm_nested_intercepts": "kvm_x86_nested_intercepts",
    "kvm_nested_intr_vmexit": "kvm_x86_nested_intr_vmexit",
    "kvm_nested_vmexit": "kvm_x86_nested_vmexit",
    "kvm_nested_vmexit_inject": "kvm_x86_nested_vmexit_inject",
    "kvm_page_fault": "kvm_x86_page_fault",
    "kvm_pic_set_irq": "kvm_x86_pic_set_irq",
    "kvm_pio": "kvm_x86_pio",
    "kvm_pv_eoi": "kvm_x86_pv_eoi",
    "kvm_skinit": "kvm_x86_skinit",
    "kvm_track_tsc": "kvm_x86_track_tsc",
    "kvm_update_master_clock": "kvm_x86_update_master_clock",
    "kvm_write_tsc_offset": "kvm_x86_write_tsc_offset",
    "mark_mmio_spte": "kvm_mmu_mark_mmio_spte",
    "mm_compaction_isolate_freepages": "compaction_isolate_freepages",
    "mm_compaction_isolate_migratepages": "compaction_isolate_migratepages",
    "mm_compaction_migratepages": "compaction_migratepages",
    "mm_page_alloc": "kmem_mm_page_alloc",
    "mm_page_alloc_extfrag": "kmem_mm_page_alloc_extfrag",
    "mm_page_alloc_zone_locked": "kmem_mm_page_alloc_zone_locked",
    "mm_page_free": "kmem_mm_page_free",
    "mm_page_free_batched": "kmem_mm_page_free_batched",
    "mm_page_pcpu_drain": "kmem_mm_page_pcpu_drain",
    "mm_shrink_slab_end": "mm_vmscan_shrink_slab_end",
    "mm_shrink_slab_start": "mm_vmscan_shrink_slab_start",
    "napi_gro_frags_entry": "net_napi_gro_frags_entry",
    "napi_gro_frags_exit": "net_napi_gro_frags_exit",
    "napi_gro_receive_entry": "net_napi_gro_receive_entry",
    "napi_gro_receive_exit": "net_napi_gro_receive_exit",
    "netif_receive_skb": "net_if_receive_skb",
    "netif_receive_skb_entry": "net_if_receive_skb_entry",
    "netif_receive_skb_exit": "net_if_receive_skb_exit",
    "netif_receive_skb_list_entry": "net_if_receive_skb_list_entry",
    "netif_receive_skb_list_exit": "net_if_receive_skb_list_exit",
    "netif_rx": "net_if_rx",
    "netif_rx_entry": "net_if_rx_entry",
    "netif_rx_exit": "net_if_rx_exit",
    "page_fault_kernel": "x86_exceptions_page_fault_kernel",
    "page_fault_user": "x86_exceptions_page_fault_user",
    "run_delayed_data_ref": "btrfs_run_delayed_data_ref",
    "run_delayed_ref_head": "btrfs_run_delayed_ref_head",
    "run_delayed_tree_ref": "btrfs_run_delayed_tree_ref",
    "softirq_entry": "irq_softirq_entry",
    "softirq_exit": "irq_softirq_exit",
    "softirq_raise": "irq_softirq_raise",
    "vcpu_match_mmio": "kvm_x86_vcpu_match_mmio",
    "wakeup_source_activate": "power_wakeup_source_activate",
    "wakeup_source_deactivate": "power_wakeup_source_deactivate",
}
"""Tracepoints that LTTng calls otherwise than the kernel does."""


def lttng_event_name(system: str, name: str) -> str:
    """Return the name that LTTng has for the kernel's event ``system:name``."""
    if system == SYSCALLS:
        for ours, theirs in _SYSCALL_NAMES:
            if name.startswith(ours):
                return theirs + name.removeprefix(ours)
    return _LTTNG_NAMES.get(name, name)


def lttng_field_name(system: str, name: str) -> str:
    """Return the name that LTTng has for a field: ``tid`` where the scheduler's ``pid`` means a thread."""
    if system in _THREAD_SYSTEMS and (name == "pid" or name.endswith("_pid")):
        return name.removesuffix("pid") + "tid"
    return name


class KernelEvent(NamedTuple):
    """An event that tracefs offers: ``sched:sched_switch``."""

    system: str
    name: str

    @property
    def is_syscall(self) -> bool:
        """Whether this is the entry or the exit of one system call."""
        return self.system == SYSCALLS

    @property
    def names(self) -> tuple[str, ...]:
        """What the event may be called: LTTng's name first, the kernel's, and the system call's own."""
        names = (lttng_event_name(*self), self.name)
        if not self.is_syscall:
            return names
        return (*names, self.name.removeprefix("sys_enter_").removeprefix("sys_exit_"))

    def matches(self, pattern: str, which: Which) -> bool:
        """Tell whether the event is meant: a name or a glob (``*``, ``?``), with or without ``SYSTEM:``.

        A system call goes by its own name (``openat``) only where system calls are asked for.
        """
        if which != "all" and self.is_syscall != (which == "syscall"):
            return False
        system, colon, name = pattern.rpartition(":")
        if colon and not _fits(self.system, system):
            return False
        if not colon and self.system in _NOT_IN_ALL and _is_glob(name):
            return False
        names = self.names if which == "syscall" else self.names[:2]
        return any(_fits(candidate, name) for candidate in names)


def _is_glob(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]")) if _is_glob(pattern) else name == pattern


class Catalogue:
    """All events that can be enabled."""

    def __init__(self, events: Iterable[KernelEvent]) -> None:
        self._events = tuple(events)

    @cached_property
    def by_system(self) -> dict[str, frozenset[KernelEvent]]:
        """The events of each system."""
        systems: dict[str, set[KernelEvent]] = {}
        for event in self._events:
            systems.setdefault(event.system, set()).add(event)
        return {system: frozenset(events) for system, events in systems.items()}

    def select(self, pattern: str, which: Which) -> frozenset[KernelEvent]:
        """Return the events that a name or glob stands for; none where it is unknown."""
        return frozenset(event for event in self._events if event.matches(pattern, which))

    def like(self, name: str, which: Which) -> Sequence[str]:
        """Return a few known names that resemble an unknown one."""
        own = -1 if which == "syscall" else 0
        candidates = {
            event.names[own] for event in self._events if which == "all" or event.matches("*", which)
        }
        return get_close_matches(name.rpartition(":")[2], sorted(candidates), n=3)

    def compact(self, events: frozenset[KernelEvent]) -> list[str]:
        """Return what to write to ``set_event`` for these events: whole systems as ``SYSTEM:*``."""
        tokens = []
        for system, members in self.by_system.items():
            wanted = members & events
            whole = wanted == members
            tokens += [f"{system}:*"] if whole else [f"{system}:{event.name}" for event in sorted(wanted)]
        return tokens
