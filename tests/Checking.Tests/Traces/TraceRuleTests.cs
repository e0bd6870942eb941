using Fleet.Checking.Traces;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests.Traces;

/// <summary>Each rule catches what is planted, and lets a twin pass that only looks dangerous.</summary>
[Trait("tier", "fast")]
public sealed class TraceRuleTests
{
    [Fact]
    public void The_excerpt_as_it_was_recorded_is_valid()
    {
        var report = TraceSamples.Judge(TraceSamples.MmapHeld());

        Assert.Equal(RunVerdict.Valid, report.Check.Verdict);
        Assert.Equal(["0000:03:00.0"], report.Devices);
        Assert.Equal(
            ["unmap", "kill", "switch", "zero", "remove", "removed", "exit", "end"],
            Assert.Single(report.Teardowns).Steps);
        Assert.Equal(0x38, report.RefOffsetBytes);
    }

    [Fact]
    public void Pages_pinned_at_the_removal_are_a_violation_without_any_later_use()
    {
        var lines = TraceSamples.DevdaxPinned();
        lines[lines.FindLastIndex(line => line.Contains("bio_release_pages:", StringComparison.Ordinal))] =
            TraceSamples.Record("init-56", ".....", "29.686561", "tracing_mark_write: USER later");

        var finding = Assert.Single(TraceSamples.Judge(lines).Check.Findings);

        Assert.Equal("NO-USE-AFTER-REMOVE", finding.Rule);
        Assert.Contains("4 page(s): 0x100200..0x100203 at count 1025", finding.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_pin_whose_release_is_recorded_just_too_late_is_not_held_against_the_removal()
    {
        var lines = TraceSamples.DevdaxPinned();
        lines.RemoveAt(lines.FindLastIndex(line => line.Contains("bio_release_pages:", StringComparison.Ordinal)));
        var removal = lines.At("arch_remove_memory:");
        for (var page = 3; page >= 0; page--)
            lines.Insert(removal + 1, TraceSamples.Record(
                $"other-{900 + page}", ".....", "27.806611",
                $"page_ref_mod_and_test: pfn=0x10020{page} flags=reserved count=1 mapcount=-1 mapping=0 mt=1 "
                + "val=-1024 ret=0"));

        var report = TraceSamples.Judge(lines);

        Assert.Equal(RunVerdict.Valid, report.Check.Verdict);
        Assert.Equal(8, Evidence(report, "NO-USE-AFTER-REMOVE").Undecided);
    }

    [Theory]
    [InlineData(
        "free_zone_device_folio: (free_zone_device_folio+0x4/0xd0) folio=0xffffea0003f70800 "
        + "pgmap=0xffff888104c20c38 refcount=0")]
    [InlineData(
        "vm_insert_page: (vm_insert_page+0x4/0x190) vma=0xffff888104c6cc80 addr=0x7f5db3bb6000 "
        + "page=0xffffea0003f70800 refcount=1")]
    [InlineData("page_ref_mod: pfn=0xfdc20 flags=reserved count=2 mapcount=-1 mapping=0 mt=1 val=1")]
    public void A_removed_page_that_is_touched_is_caught(string record)
    {
        var lines = TraceSamples.MmapHeld();
        lines.Insert(
            lines.At("arch_remove_memory_ret:") + 1, TraceSamples.Record("p2ptool-563", ".....", "25.900000", record));

        var finding = Assert.Single(TraceSamples.Judge(lines).Check.Findings);

        Assert.Equal("NO-USE-AFTER-REMOVE", finding.Rule);
        Assert.Equal(FindingClass.Safety, finding.Class);
        Assert.Contains("page 0xfdc20", finding.Text, StringComparison.Ordinal);
        Assert.Contains("0000:03:00.0", finding.Text, StringComparison.Ordinal);
        Assert.Contains("\"ev\":\"memory_remove\"", finding.Evidence[0], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("...1.", "25.832000", true)]
    [InlineData("...1.", "25.834000", false)]
    [InlineData(".....", "25.834000", true)]
    [InlineData(".....", "25.842000", false)]
    public void A_late_record_is_explained_only_as_long_as_its_task_may_have_been_kept_from_the_CPU(
        string flags, string time, bool legal)
    {
        var lines = TraceSamples.MmapHeld();
        lines.Insert(lines.At("arch_remove_memory_ret:") + 1, TraceSamples.Record(
            "p2ptool-563", flags, time,
            "page_ref_mod_and_test: pfn=0xfdc20 flags=reserved count=0 mapcount=-1 mapping=0 mt=1 val=-1 ret=1"));

        var report = TraceSamples.Judge(lines);

        Assert.Equal(legal ? RunVerdict.Valid : RunVerdict.Invalid, report.Check.Verdict);
        Assert.Equal(legal ? 1 : 0, Evidence(report, "NO-USE-AFTER-REMOVE").Undecided);
    }

    [Fact]
    public void A_late_record_is_not_explained_when_its_task_recorded_something_since_the_removal_began()
    {
        var lines = TraceSamples.MmapHeld();
        var at = lines.At("arch_remove_memory:") + 1;
        lines.Insert(at, TraceSamples.Record("p2ptool-563", ".....", "25.831610", "tracing_mark_write: USER touch-ok"));
        lines.Insert(at + 1, TraceSamples.Record(
            "p2ptool-563", ".....", "25.831620",
            "page_ref_mod_and_test: pfn=0xfdc20 flags=reserved count=0 mapcount=-1 mapping=0 mt=1 val=-1 ret=1"));

        Assert.Equal("NO-USE-AFTER-REMOVE", Assert.Single(TraceSamples.Judge(lines).Check.Findings).Rule);
    }

    [Fact]
    public void Page_activity_after_zero_and_before_the_removal_is_legal()
    {
        var lines = TraceSamples.MmapHeld();
        lines.Insert(lines.At("dev_pagemap_percpu_release_ret:") + 1, TraceSamples.Record(
            "p2ptool-563", ".....", "25.815617",
            "page_ref_set: pfn=0xfdc20 flags=reserved count=1 mapcount=-1 mapping=0 mt=1 val=1"));
        lines.Insert(lines.At("arch_remove_memory:"), TraceSamples.Record(
            "p2ptool-563", ".....", "25.831606",
            "free_zone_device_folio_ret: (__folio_put+0xb5/0xc0 <- free_zone_device_folio) folio=0xffffea0003f70800"));

        var report = TraceSamples.Judge(lines);

        Assert.Equal(RunVerdict.Valid, report.Check.Verdict);
        Assert.Equal(0, Evidence(report, "NO-USE-AFTER-REMOVE").Undecided);
    }

    [Fact]
    public void A_new_page_map_over_the_same_range_may_be_used()
    {
        var lines = TraceSamples.MmapHeld();
        var again = TraceSamples.MmapHeld().Where(line => !line.StartsWith('#')).Select(line => Shifted(line, 100));

        var report = TraceSamples.Judge([.. lines, .. again]);

        Assert.Equal(RunVerdict.Valid, report.Check.Verdict);
        Assert.Equal([1, 2], report.Teardowns.Select(one => one.Life));
    }

    [Fact]
    public void Memory_removed_before_the_reference_is_at_zero_is_caught()
    {
        var lines = TraceSamples.MmapHeld();
        Move(lines, "dev_pagemap_percpu_release_ret:", "arch_remove_memory_ret:");
        Move(lines, "dev_pagemap_percpu_release:", "arch_remove_memory_ret:");

        var report = TraceSamples.Judge(lines, "P5");

        var finding = Assert.Single(report.Check.Findings);
        Assert.Equal("REAP-BEFORE-REMOVE", finding.Rule);
        Assert.Contains("map:trace/0000:03:00.0/bar2", finding.Text, StringComparison.Ordinal);
        Assert.Equal(Remedies.Patch(6), finding.Remedy);
    }

    [Fact]
    public void A_ref_exited_with_references_left_is_caught()
    {
        var lines = TraceSamples.MmapHeld();
        var exit = lines.At("percpu_ref_exit:");
        var moved = lines[exit].Replace("count=0x0", "count=0x2", StringComparison.Ordinal);
        lines.RemoveAt(exit);
        lines.Insert(lines.At("dev_pagemap_percpu_release:"), moved);

        Assert.Equal(["EXIT-AFTER-ZERO"], TraceSamples.Judge(lines).Check.Findings.Select(one => one.Rule));
    }

    [Fact]
    public void An_exit_that_read_zero_is_legal_although_it_was_recorded_before_the_callback()
    {
        var lines = TraceSamples.MmapHeld();
        Move(lines, "percpu_ref_exit:", "percpu_ref_switch_to_atomic_rcu:");

        Assert.Equal(RunVerdict.Valid, TraceSamples.Judge(lines).Check.Verdict);
    }

    [Fact]
    public void A_ref_exited_while_its_switch_is_pending_is_caught()
    {
        var lines = TraceSamples.MmapHeld();
        Move(lines, "percpu_ref_exit:", "percpu_ref_kill_and_confirm:");
        lines.Insert(
            lines.At("percpu_ref_exit:") + 1,
            TraceSamples.Record("echo-565", ".....", "25.798900", "tracing_mark_write: USER went on"));

        Assert.Contains("EXIT-NOT-SWITCHING", TraceSamples.Judge(lines).Check.Findings.Select(one => one.Rule));
    }

    [Fact]
    public void A_second_kill_is_caught_and_one_after_a_reinit_is_not()
    {
        var lines = TraceSamples.MmapHeld();
        var kill = lines.At("percpu_ref_kill_and_confirm:");
        lines.Insert(kill, lines[kill]);
        Assert.Equal("KILL-ONCE", Assert.Single(TraceSamples.Judge(lines).Check.Findings).Rule);

        lines.Insert(
            kill + 1,
            TraceSamples.Record(
                "echo-565",
                ".....",
                "25.798870",
                "percpu_ref_reinit: (percpu_ref_reinit+0x4/0x60) ref=0xffff888104c20c70 "
                + "release=dev_pagemap_percpu_release+0x0/0x20"));
        Assert.Equal(RunVerdict.Valid, TraceSamples.Judge(lines).Check.Verdict);
    }

    [Fact]
    public void Overlapping_allocations_are_caught_and_one_over_a_free_that_began_is_not()
    {
        var lines = TraceSamples.MmapHeld();
        var second = lines.FindLastIndex(
            line => line.Contains("gen_pool_alloc_algo_owner_ret:", StringComparison.Ordinal));
        lines[second] = lines[second].Replace(
            "addr=0xffff8880fdc20000", "addr=0xffff8880fdc1f000", StringComparison.Ordinal);
        Assert.Contains("NO-OVERLAP", TraceSamples.Judge(lines).Check.Findings.Select(one => one.Rule));

        lines = TraceSamples.MmapHeld();
        var free = lines.At("gen_pool_free_owner_ret:");
        lines.Insert(
            free,
            TraceSamples.Record(
                "p2ptool-563",
                ".....",
                "25.795700",
                "gen_pool_alloc_algo_owner: (gen_pool_alloc_algo_owner+0x4/0x220) pool=0xffff888104c392c0 "
                + "size=0x1000"));
        lines.Insert(
            free + 1,
            TraceSamples.Record(
                "p2ptool-563",
                ".....",
                "25.795701",
                "gen_pool_alloc_algo_owner_ret: (pci_alloc_p2pmem+0x4a/0xb0 <- gen_pool_alloc_algo_owner) "
                + "pool=0xffff888104c392c0 size=0x1000 addr=0xffff8880fdc10000"));
        lines.Insert(
            free + 2,
            TraceSamples.Record(
                "p2ptool-563",
                ".....",
                "25.795702",
                "gen_pool_free_owner: (gen_pool_free_owner+0x4/0xe0) pool=0xffff888104c392c0 addr=0xffff8880fdc10000 "
                + "size=0x1000"));
        Assert.Equal(RunVerdict.Valid, TraceSamples.Judge(lines).Check.Verdict);
    }

    [Fact]
    public void A_double_free_is_caught()
    {
        var lines = TraceSamples.MmapHeld();
        var free = lines.At("gen_pool_free_owner_ret:") + 1;
        lines.Insert(free, lines[free - 2]);

        Assert.Contains("FREE-MATCHES-ALLOC", TraceSamples.Judge(lines).Check.Findings.Select(one => one.Rule));
    }

    [Fact]
    public void A_pool_destroyed_with_a_live_allocation_is_caught()
    {
        var lines = TraceSamples.MmapHeld();
        lines.RemoveAll(
            line => line.Contains("gen_pool_free_owner", StringComparison.Ordinal) && line.Contains(
                "addr=0xffff8880fdc00000", StringComparison.Ordinal));

        Assert.Equal("DESTROY-EMPTY", Assert.Single(TraceSamples.Judge(lines).Check.Findings).Rule);
    }

    [Fact]
    public void An_older_action_that_runs_before_a_newer_one_is_caught()
    {
        var lines = TraceSamples.MmapHeld();
        var (first, last) = (lines.At("action=pci_p2pdma_unmap_mappings+0x0/0x30"), 0);
        first = lines.FindIndex(first + 1, line => line.Contains("devm_action_release: ", StringComparison.Ordinal));
        last = lines.FindLastIndex(line => line.Contains("devm_action_release: ", StringComparison.Ordinal));
        (lines[first], lines[last]) = (lines[last], lines[first]);

        Assert.Contains("LIFO", TraceSamples.Judge(lines).Check.Findings.Select(one => one.Rule));
    }

    [Fact]
    public void An_unbind_that_returns_without_removing_its_memory_is_caught()
    {
        var lines = TraceSamples.MmapHeld();
        lines.RemoveAll(
            line => line.Contains("remove_memory", StringComparison.Ordinal) || line.Contains(
                "__remove_pages", StringComparison.Ordinal));

        Assert.Contains("UNBIND-QUIESCENT", TraceSamples.Judge(lines).Check.Findings.Select(one => one.Rule));
    }

    [Fact]
    public void An_unbind_that_waits_for_nobody_is_stuck_and_one_that_waits_for_a_holder_is_not()
    {
        var stuck = TraceSamples.MmapHeld();
        stuck.RemoveRange(
            stuck.At("dev_pagemap_percpu_release:"),
            stuck.At("scenario-end") - stuck.At("dev_pagemap_percpu_release:"));
        stuck[^1] = stuck[^1].Replace("29.692976", "32.000000", StringComparison.Ordinal);
        var finding = Assert.Single(TraceSamples.Judge(stuck).Check.Findings);
        Assert.Equal("UNBIND-LIVE", finding.Rule);
        Assert.Equal(FindingClass.Liveness, finding.Class);
        Assert.Contains("0000:03:00.0", finding.Text, StringComparison.Ordinal);

        var waiting = stuck.Where(
            line => !(
                line.Contains("gen_pool_free_owner", StringComparison.Ordinal) && line.Contains(
                    "addr=0xffff8880fdc20000", StringComparison.Ordinal)));
        var report = TraceSamples.Judge(waiting);
        Assert.Equal(RunVerdict.Unknown, report.Check.Verdict);
        Assert.Equal(1, Evidence(report, "UNBIND-LIVE").Undecided);
        Assert.Contains("4096 allocated bytes", Assert.Single(report.Teardowns).WaitEndedBy, StringComparison.Ordinal);
    }

    [Fact]
    public void A_failed_mapping_that_leaves_its_memory_is_caught()
    {
        var lines = TraceSamples.MmapHeld();
        var end = lines.At("pci_p2pdma_add_resource_ret:");
        lines[end] = lines[end].Replace("ret=0", "ret=-12", StringComparison.Ordinal);

        Assert.Contains("ERROR-NO-RESIDUE", TraceSamples.Judge(lines).Check.Findings.Select(one => one.Rule));
    }

    [Fact]
    public void A_chunk_owned_by_the_ref_of_another_map_is_caught()
    {
        var lines = TraceSamples.MmapHeld();
        var other = lines.FindIndex(line => line.Contains(" memremap_pages: ", StringComparison.Ordinal));
        lines.Insert(other, TraceSamples.Record(
            "insmod-9", ".....", "23.000000",
            "memremap_pages: (memremap_pages+0x4/0x690) pgmap=0xffff888109000000 start=0xfcf0000000 "
            + "end=0xfcffffffff type=1 nid=0"));
        var chunk = lines.At("gen_pool_add_owner:");
        lines[chunk] = lines[chunk].Replace(
            "owner=0xffff888104c20c70", "owner=0xffff888109000038", StringComparison.Ordinal);

        Assert.Contains("OWNER-ROUNDTRIP", TraceSamples.Judge(lines).Check.Findings.Select(one => one.Rule));
    }

    [Fact]
    public void Lost_records_take_away_what_rests_on_their_absence()
    {
        var lines = TraceSamples.MmapHeld();
        lines.Insert(20, "CPU:1 [LOST 12 EVENTS]");
        lines.RemoveAll(
            line => line.Contains("gen_pool_free_owner", StringComparison.Ordinal) && line.Contains(
                "addr=0xffff8880fdc00000", StringComparison.Ordinal));

        var report = TraceSamples.Judge(lines);

        Assert.Equal(RunVerdict.Unknown, report.Check.Verdict);
        Assert.False(report.Check.Complete);
        Assert.Equal(1, Evidence(report, "DESTROY-EMPTY").Undecided);
    }

    private static Checking.Rules.RuleEvidence Evidence(TraceReport report, string rule) => report.Check.Rules.Single(
        one => one.Rule == rule);

    private static void Move(List<string> lines, string what, string behind)
    {
        var line = lines[lines.At(what)];
        lines.Remove(line);
        lines.Insert(lines.At(behind) + 1, line);
    }

    private static string Shifted(string line, int seconds)
    {
        var open = line.IndexOf(']', StringComparison.Ordinal);
        var stamp = line[open..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[2];
        var (whole, rest) = (
            stamp[..stamp.IndexOf('.', StringComparison.Ordinal)],
            stamp[stamp.IndexOf('.', StringComparison.Ordinal)..]);
        return line.Replace(
            stamp,
            $"{int.Parse(whole, System.Globalization.CultureInfo.InvariantCulture) + seconds}{rest}",
            StringComparison.Ordinal);
    }
}
