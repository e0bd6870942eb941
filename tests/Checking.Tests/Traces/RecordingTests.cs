using Fleet.Checking.History;
using Fleet.Checking.Traces;
using Fleet.Kernel.History;
using Fleet.Tests;

namespace Fleet.Checking.Tests.Traces;

[Trait("tier", "fast")]
public sealed class RecordingTests
{
    [SharedTheory("traces")]
    [InlineData("k612-s1-single.trace.gz", RunVerdict.Valid, 1, 1)]
    [InlineData("k612-s2-cycles20.trace.gz", RunVerdict.Valid, 20, 20)]
    [InlineData("k612-s3a-mmap-held-unbind.trace", RunVerdict.Valid, 1, 1)]
    [InlineData("k612-s3c-odirect-pin-blocks-unbind.trace", RunVerdict.Valid, 1, 1)]
    [InlineData("k612-s3f-alloc-while-dying.trace", RunVerdict.Valid, 2, 2)]
    [InlineData("k612-s4-stress.trace.gz", RunVerdict.Valid, 55, 55)]
    [InlineData("k612-s5b-unbind-no-holders.trace", RunVerdict.Valid, 1, 1)]
    [InlineData("k612-s5c-device-without-cmb.trace", RunVerdict.Unknown, 0, 1)]
    [InlineData("k612-s5f-use_cmb_sqes-0.trace", RunVerdict.Valid, 1, 1)]
    [InlineData("k612-s5g-fail-nth.trace.gz", RunVerdict.Valid, 3, 13)]
    [InlineData("k612-s6a-devdax.trace", RunVerdict.Valid, 1, 3)]
    [InlineData("k612-s6b-devdax-odirect-pin.trace", RunVerdict.Invalid, 1, 1)]
    [InlineData("k612-s7-hmm-device-private.trace", RunVerdict.Valid, 2, 0)]
    [InlineData("k734-s1-single.trace.gz", RunVerdict.Valid, 1, 1)]
    [InlineData("k734-s3a-mmap-held-unbind.trace", RunVerdict.Valid, 1, 1)]
    [InlineData("k734-s3c-odirect-pin-blocks-unbind.trace", RunVerdict.Valid, 1, 1)]
    [InlineData("k734-s4-stress.trace.gz", RunVerdict.Valid, 28, 28)]
    [InlineData("k734-s5b-unbind-no-holders.trace", RunVerdict.Valid, 1, 1)]
    [InlineData("k734-s5e-pci-remove-and-rescan.trace", RunVerdict.Valid, 2, 3)]
    public void Every_recording_gives_the_verdict_that_is_known(
        string file, RunVerdict verdict, int teardowns, int unbinds)
    {
        var report = TraceSamples.JudgeFile(Path.Combine(SharedFolder.Of("traces"), file));

        Assert.Empty(report.UnknownEvents);
        Assert.Empty(report.Notes);
        Assert.Equal(verdict, report.Check.Verdict);
        Assert.Equal(teardowns, report.Teardowns.Count(one => one.IsComplete));
        Assert.Equal(unbinds, report.Unbinds.Count);
        Assert.All(report.Unbinds, one => Assert.NotNull(one.Took));
        Assert.All(report.Check.Rules, rule => Assert.Equal(0, rule.Undecided));
        Assert.Equal(verdict is RunVerdict.Invalid, report.Check.Findings.Count > 0);
        if (report.RefOffsetBytes is { } offset)
            Assert.Equal(file.StartsWith("k612", StringComparison.Ordinal) ? 0x38 : 0x30, offset);
    }

    [SharedTheory("traces")]
    [InlineData("k612-s1-single-graph.trace.gz")]
    public void A_function_graph_is_refused_and_named(string file)
    {
        var refused = Assert.Throws<TraceFormatException>(
            () => TraceSamples.JudgeFile(Path.Combine(SharedFolder.Of("traces"), file)));

        Assert.Equal(1, refused.Line);
        Assert.Contains("function_graph", refused.Message, StringComparison.Ordinal);
    }

    [SharedTheory("traces")]
    [InlineData("k612-s6b-devdax-odirect-pin.trace")]
    public void The_pages_that_were_pinned_at_the_removal_are_named(string file)
    {
        var report = TraceSamples.JudgeFile(Path.Combine(SharedFolder.Of("traces"), file));

        Assert.All(report.Check.Findings, one => Assert.Equal("NO-USE-AFTER-REMOVE", one.Rule));
        var pinned = Assert.Single(
            report.Check.Findings, one => one.Signature.EndsWith("pinned-at-removal", StringComparison.Ordinal));
        Assert.Contains("12 page(s): 0x100200..0x10020b at count 1025", pinned.Text, StringComparison.Ordinal);
        Assert.Contains("p2ptool-561", pinned.Text, StringComparison.Ordinal);
        Assert.Contains("dax0.0", pinned.Text, StringComparison.Ordinal);
        var used = Assert.Single(
            report.Check.Findings, one => one.Signature.EndsWith("used-after-removal", StringComparison.Ordinal));
        Assert.Contains("line 145", used.Text, StringComparison.Ordinal);
        Assert.Contains("bio_release_pages on page 0x100200", used.Text, StringComparison.Ordinal);
        Assert.Equal(1, report.Check.Rules.Single(rule => rule.Rule == "REAP-BEFORE-REMOVE").Ok);
    }

    [SharedTheory("traces")]
    [InlineData("k612-s3c-odirect-pin-blocks-unbind.trace", "p2ptool-612 freeing page 0xfdc3f", 6.268, 32,
        "p2ptool-610,p2ptool-612")]
    [InlineData("k734-s3c-odirect-pin-blocks-unbind.trace", "p2ptool-579 freeing page 0xfdc3f", 6.278, 0,
        "p2ptool-577,p2ptool-579")]
    public void The_wait_says_how_long_it_was_who_held_and_what_ended_it(
        string file, string endedBy, double seconds, int pinned, string holders)
    {
        var report = TraceSamples.JudgeFile(Path.Combine(SharedFolder.Of("traces"), file));

        var unbind = Assert.Single(report.Unbinds);
        var wait = Assert.Single(unbind.Teardowns);
        Assert.Equal("0000:03:00.0", unbind.Device);
        Assert.Equal("map:trace/0000:03:00.0/bar2", wait.Map);
        Assert.Equal(endedBy, wait.WaitEndedBy);
        Assert.Equal(seconds, wait.Waited!.Value.TotalSeconds, 0.001);
        Assert.Equal(pinned, wait.PinnedPages);
        Assert.Equal(holders, string.Join(',', wait.Holders));
    }

    // Goal: the events that a trace is mapped to are those that the other engines record.
    // Method: the checker of all histories judges them too, and finds nothing where the trace's own judge finds
    // nothing.
    [SharedTheory("traces")]
    [InlineData("k612-s2-cycles20.trace.gz", 20)]
    [InlineData("k612-s3c-odirect-pin-blocks-unbind.trace", 1)]
    [InlineData("k612-s7-hmm-device-private.trace", 2)]
    public void The_checker_of_histories_agrees_on_the_mapped_events(string file, int maps)
    {
        using var stream = File.OpenRead(Path.Combine(SharedFolder.Of("traces"), file));
        var objects = new ObjectTable();
        var checker = new HistoryChecker(
            new()
            {
                Run = "trace",
                Source = "kernel-trace",
                Profile = "MAINLINE",
                Order = HistoryOrder.Total,
                Complete = true
            }, objects, []);
        var events = 0;
        KernelTrace.Check(stream, "MAINLINE", one => { checker.Add(one); events++; }, objects);
        var report = checker.Finish();

        Assert.True(events > 0);
        Assert.Empty(report.Findings);
        foreach (var rule in (string[])["KILL-ONCE", "EXIT-AFTER-ZERO", "EXIT-NOT-SWITCHING"])
            Assert.Equal((rule, maps), (rule, (int)report.Rules.Single(one => one.Rule == rule).Ok));
    }
}
