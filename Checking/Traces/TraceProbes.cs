using System.Text;

namespace Fleet.Checking.Traces;

/// <summary>The probes that a kernel has to set so that its trace can be judged, as commands of a shell.</summary>
/// <remarks>
/// Each stands on its own: what a kernel does not have is skipped. Functions in <c>lib/</c> can be probed only where
/// <c>CONFIG_KPROBE_EVENTS_ON_NOTRACE</c> is set or the library is traced; page counts only with
/// <c>CONFIG_DEBUG_PAGE_REF</c>.
/// Source: kernel-model section E, last column; the recordings under <c>shared/traces</c>.
/// </remarks>
public static class TraceProbes
{
    /// <summary>Group of the events in tracefs.</summary>
    public const string Group = "fleet";

    private const string Trace = "/sys/kernel/tracing";

    /// <param name="Function">Function of the kernel, or of a module as <c>module:function</c>.</param>
    /// <param name="Event">Name of the event; the return has <c>_ret</c> behind it.</param>
    /// <param name="Entry">Fields at the entry; null when the entry is not probed.</param>
    /// <param name="Return">Fields at the return; null when it is not probed.</param>
    public readonly record struct Definition(string Function, string Event, string? Entry, string? Return = null);

    /// <summary>All probes, in the order of a device's life.</summary>
    public static IReadOnlyList<Definition> All { get; } =
    [
        Of("really_probe", "dev=dev name=dev->kobj.name:string drv=drv->name:string", "dev=$arg1:x64 ret=$retval:s32"),
        Of("device_release_driver_internal", "dev=dev name=dev->kobj.name:string", "dev=$arg1:x64"),
        Of("devres_release_all", "dev=dev name=dev->kobj.name:string", "dev=$arg1:x64 ret=$retval:s32"),
        Of("__devm_add_action", "dev=dev action=%si:symbol data=data", "dev=$arg1:x64 data=$arg3:x64 ret=$retval:s32"),
        Of("devm_action_release", "dev=%di:x64 data=+0(%si):x64 action=+8(%si):symbol", ""),
        new("nvme:nvme_probe", "nvme_probe", "pdev=%di:x64", "pdev=$arg1:x64 ret=$retval:s32"),
        Of(
            "pci_p2pdma_add_resource",
            "pdev=pdev bus=pdev->bus->number devfn=pdev->devfn bar=bar size=size:x64 offset=offset:x64",
            "pdev=$arg1:x64 ret=$retval:s32"),
        Of("pci_p2pdma_release", "pdev=%di:x64", "pdev=$arg1:x64"),
        Of("pci_p2pdma_unmap_mappings", "data=%di:x64", "data=$arg1:x64"),
        Of("pci_alloc_p2pmem", "pdev=%di:x64 size=%si:x64", "pdev=$arg1:x64 size=$arg2:x64 addr=$retval:x64"),
        Of("pci_free_p2pmem", "pdev=%di:x64 addr=%si:x64 size=%dx:x64", "pdev=$arg1:x64 addr=$arg2:x64 size=$arg3:x64"),
        Of(
            "p2pmem_alloc_mmap",
            "dev=kobj->name:string vm_start=vma->vm_start:x64 vm_end=vma->vm_end:x64 pgoff=vma->vm_pgoff:x64",
            "vma=$arg4:x64 ret=$retval:s32"),
        Of("p2pdma_page_free", "page=%di:x64 pgmap=+8(%di):x64 refcount=+52(%di):s32", "page=$arg1:x64"),
        Of("p2pdma_folio_free", "page=%di:x64 pgmap=+8(%di):x64 refcount=+52(%di):s32", "page=$arg1:x64"),
        Of("gen_pool_create", "order=%di:s32", "pool=$retval:x64"),
        Of(
            "gen_pool_add_owner",
            "pool=%di:x64 virt=%si:x64 phys=%dx:x64 size=%cx:x64 nid=%r8:s32 owner=%r9:x64",
            "pool=$arg1:x64 ret=$retval:s32"),
        Of("gen_pool_alloc_algo_owner", "pool=%di:x64 size=%si:x64", "pool=$arg1:x64 size=$arg2:x64 addr=$retval:x64"),
        Of(
            "gen_pool_free_owner",
            "pool=%di:x64 addr=%si:x64 size=%dx:x64",
            "pool=$arg1:x64 addr=$arg2:x64 size=$arg3:x64"),
        Of("gen_pool_destroy", "pool=%di:x64", "pool=$arg1:x64"),
        Of("devm_memremap_pages", "dev=%di:x64 pgmap=%si:x64", "pgmap=$arg2:x64 addr=$retval:x64"),
        Of(
            "memremap_pages",
            "pgmap=pgmap start=pgmap->range.start:x64 end=pgmap->range.end:x64 type=pgmap->type:s32 nid=nid",
            "pgmap=$arg1:x64 addr=$retval:x64"),
        Of(
            "memunmap_pages",
            "pgmap=pgmap start=pgmap->range.start:x64 end=pgmap->range.end:x64 type=pgmap->type:s32",
            "pgmap=$arg1:x64"),
        Of("dev_pagemap_percpu_release", "ref=%di:x64", "ref=$arg1:x64"),
        Of(
            "percpu_ref_init",
            "ref=%di:x64 release=%si:symbol flags=%dx:x32",
            "ref=$arg1:x64 release=$arg2:x64 ret=$retval:s32"),
        Of(
            "percpu_ref_kill_and_confirm",
            "ref=%di:x64 pcp=+0(%di):x64 count=+0(+8(%di)):x64 release=+8(+8(%di)):symbol"),
        Of("percpu_ref_switch_to_atomic_rcu", "ref=+16(%di):x64 count=-32(%di):x64 release=-24(%di):symbol"),
        Of("percpu_ref_exit", "ref=%di:x64 pcp=+0(%di):x64 count=+0(+8(%di)):x64 release=+8(+8(%di)):symbol"),
        Of("percpu_ref_resurrect", "ref=%di:x64 release=+8(+8(%di)):symbol"),
        Of("percpu_ref_reinit", "ref=%di:x64 release=+8(+8(%di)):symbol"),
        Of("arch_add_memory", "nid=%di:s32 start=%si:x64 size=%dx:x64", "start=$arg2:x64 ret=$retval:s32"),
        Of("__add_pages", "nid=%di:s32 pfn=%si:x64 nr=%dx:x64"),
        Of(
            "memmap_init_zone_device",
            "zone=%di:x64 start_pfn=%si:x64 nr_pages=%dx:x64 pgmap=%cx:x64",
            "pgmap=$arg4:x64"),
        Of("arch_remove_memory", "start=%di:x64 size=%si:x64", "start=$arg1:x64 size=$arg2:x64"),
        Of("__remove_pages", "pfn=%di:x64 nr=%si:x64", "pfn=$arg1:x64"),
        Of("free_zone_device_folio", "folio=%di:x64 pgmap=+8(%di):x64 refcount=+52(%di):s32", "folio=$arg1:x64"),
        Of("zone_device_page_init", "page=%di:x64 pgmap=+8(%di):x64 refcount=+52(%di):s32"),
        Of(
            "vm_insert_page",
            "vma=%di:x64 addr=%si:x64 page=%dx:x64 refcount=+52(%dx):s32",
            "addr=$arg2:x64 page=$arg3:x64 ret=$retval:s32"),
        new(
            "__bio_release_pages",
            "bio_release_pages",
            "bio=%di:x64 page=bio->bi_io_vec->bv_page vcnt=bio->bi_vcnt:u16",
            "bio=$arg1:x64"),
        Of("unmap_mapping_range", "mapping=%di:x64 begin=%si:x64 len=%dx:x64 even_cows=%cx:s32"),
    ];

    /// <summary>The whole script: check, set, enable, record, stop, save.</summary>
    /// <param name="bufferKib">Kibibytes of ring buffer for each CPU; an overrun makes a verdict unknown.</param>
    public static string Script(int bufferKib)
    {
        var script = new StringBuilder();
        script.Append($$"""
            #!/bin/sh
            # Records the life of page maps for 'fleet check --trace'. Needs root; x86-64 (arguments in registers).
            # Needs CONFIG_KPROBE_EVENTS; CONFIG_DEBUG_PAGE_REF for page counts; CONFIG_DEBUG_INFO_BTF for 'dev=dev'.
            T={{Trace}}
            [ -d "$T/events" ] || mount -t tracefs tracefs "$T"

            # A clean start, one clock for all CPUs, and a large buffer. What does not fit overwrites the oldest, so
            # that the header of the trace shows the loss; the other mode drops the newest in silence.
            echo 0 > $T/tracing_on
            echo nop > $T/current_tracer
            [ -d "$T/events/{{Group}}" ] && echo 0 > $T/events/{{Group}}/enable
            echo '-:{{Group}}/' >> $T/kprobe_events 2>/dev/null
            echo global > $T/trace_clock
            echo 1 > $T/options/overwrite
            echo {{bufferKib}} > $T/buffer_size_kb
            echo > $T/trace

            # What this kernel does not have is said and skipped.
            probe() { echo "$1" >> $T/kprobe_events 2>/dev/null || echo "not available: $1" >&2; }

            """);
        foreach (var probe in All)
        {
            if (probe.Entry is { } entry)
            {
                script.Append("probe 'p:").Append(Group).Append('/').Append(probe.Event)
                    .Append(' ').Append(probe.Function)
                    .Append(entry.Length > 0 ? " " : "").Append(entry).Append("'\n");
            }

            if (probe.Return is { } fields)
            {
                script.Append("probe 'r10:").Append(Group).Append('/').Append(probe.Event)
                    .Append("_ret ").Append(probe.Function)
                    .Append(fields.Length > 0 ? " " : "").Append(fields).Append("'\n");
            }
        }

        script.Append($$"""

            # Only the refs of page maps, told by their release callback: every other percpu_ref is of no interest.
            A=$(awk '$3 == "dev_pagemap_percpu_release" { print "0x" $1 }' /proc/kallsyms)
            for E in percpu_ref_init percpu_ref_init_ret percpu_ref_kill_and_confirm percpu_ref_switch_to_atomic_rcu \
                percpu_ref_exit; do
                [ -n "$A" ] && [ -d $T/events/{{Group}}/$E ] && echo "release==$A" > $T/events/{{Group}}/$E/filter
            done

            # Page counts, for the device's pages alone: first and last page frame number, from 'start' and 'end' of
            # memremap_pages shifted right by 12, or from 'lspci -vv'. Unfiltered, every page of the machine is traced.
            # FIRST=0xfe000 LAST=0xfe3ff
            if [ -n "$FIRST" ] && [ -d $T/events/page_ref ]; then
                for E in $T/events/page_ref/*/filter; do echo "pfn >= $FIRST && pfn <= $LAST" > $E; done
                echo 1 > $T/events/page_ref/enable
            fi
            [ -d $T/events/sched/sched_process_hang ] && echo 1 > $T/events/sched/sched_process_hang/enable

            # Record. Marks of your own help to read it: echo "USER unbind-begin dev=0000:03:00.0" > $T/trace_marker
            echo 1 > $T/events/{{Group}}/enable
            echo 1 > $T/tracing_on
            echo "Recording; press Enter when the devices are unbound." ; read -r _

            # Stop, say what was lost (it should be nothing), save.
            echo 0 > $T/tracing_on
            grep -H -E '^(overrun|dropped events): [1-9]' $T/per_cpu/cpu*/stats
            gzip < $T/trace > fleet.trace.gz
            echo 0 > $T/events/{{Group}}/enable
            [ -d $T/events/page_ref ] && echo 0 > $T/events/page_ref/enable
            echo '-:{{Group}}/' >> $T/kprobe_events
            echo "Now: fleet check --trace fleet.trace.gz"

            """);
        return script.ToString();
    }

    private static Definition Of(string function, string entry, string? fields = null) =>
        new(function, function, entry, fields);
}
