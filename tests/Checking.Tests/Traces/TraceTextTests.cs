using System.Text;
using CsCheck;
using Fleet.Checking.Traces;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests.Traces;

/// <summary>What is read, what is refused, and that nothing crashes.</summary>
[Trait("tier", "fast")]
public sealed class TraceTextTests
{
    private static readonly byte[] Mutated = Encoding.UTF8.GetBytes(
        string.Join('\n', TraceSamples.MmapHeld().Concat(TraceSamples.DevdaxPinned())) + "\n");

    private static readonly string[] Splices =
    [
        "0xffffffffffffffff", "-9223372036854775808", "=", "\"", "(", "\n", "[", "]", "us:", " -1",
        "18446744073709551616", "\0", "pgmap=0x0", "size=0x0", "\u00ff", "<- ", ": ",
    ];

    [Theory]
    [InlineData("kworker/u8:0-10")]
    [InlineData("a-b: [1] x-77")]
    [InlineData("tmux: server-4")]
    [InlineData("<idle>-0")]
    [InlineData("Web Content-12      (     12)")]
    [InlineData("<...>-4194303")]
    public void A_task_may_be_called_anything(string task)
    {
        var report = TraceSamples.Judge(
            TraceSamples.MmapHeld().Select(line => line.Replace("echo-565", task, StringComparison.Ordinal)));

        Assert.Equal(RunVerdict.Valid, report.Check.Verdict);
        Assert.Empty(report.UnknownEvents);
    }

    [Fact]
    public void The_text_of_perf_script_is_read()
    {
        var perf = TraceSamples.MmapHeld().Where(line => !line.StartsWith('#')).Select(line =>
        {
            var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            var dash = words[0].LastIndexOf('-');
            var body = line[(line.IndexOf(words[3], StringComparison.Ordinal) + words[3].Length)..].TrimStart();
            var group = body.StartsWith("tracing_mark_write", StringComparison.Ordinal)
                ? "ftrace:print: "
                : body.StartsWith("page_ref", StringComparison.Ordinal) ? "page_ref:" : "probe:";
            return $"{words[0][..dash],16} {words[0][(dash + 1)..],6} {words[1]} {words[3][..^1]}123: {group}{body}";
        });

        var report = TraceSamples.Judge(perf);

        Assert.Equal(RunVerdict.Valid, report.Check.Verdict);
        Assert.Empty(report.UnknownEvents);
        Assert.Single(report.Teardowns, one => one.IsComplete);
    }

    [Fact]
    public void The_latency_format_is_read()
    {
        var latency = TraceSamples.MmapHeld().Select(line =>
        {
            if (line.StartsWith('#'))
                return line;
            var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            var micros = words[3].TrimEnd(':').Replace(".", "", StringComparison.Ordinal);
            return $"{words[0]}       1{words[2]} {micros}us+: "
                + $"{line[(line.IndexOf(words[3], StringComparison.Ordinal) + words[3].Length)..].TrimStart()}";
        });

        Assert.Equal(RunVerdict.Valid, TraceSamples.Judge(latency).Check.Verdict);
    }

    [Fact]
    public void Records_without_flags_are_read() =>
        Assert.Equal(
            RunVerdict.Valid,
            TraceSamples.Judge(TraceSamples.MmapHeld().Select(line =>
                line.Replace(" ..... ", " ", StringComparison.Ordinal))).Check.Verdict);

    [Fact]
    public void Gzip_is_read_and_a_broken_one_is_refused()
    {
        var zipped = TraceSamples.Zipped(string.Join('\n', TraceSamples.MmapHeld()) + "\n");
        Assert.Equal(RunVerdict.Valid, KernelTrace.Check(new MemoryStream(zipped)).Check.Verdict);

        zipped[zipped.Length / 2] ^= 0xff;
        var outcome = Record.Exception(() => KernelTrace.Check(new MemoryStream(zipped)));
        Assert.True(outcome is null or TraceFormatException, outcome?.ToString());
    }

    [Fact]
    public void Records_of_the_function_tracer_decide_nothing()
    {
        var report = TraceSamples.Judge(
        [
            "# tracer: function",
            TraceSamples.Record("echo-5", "d..1.", "1.000000", "memunmap_pages <-devm_memremap_pages_release"),
            TraceSamples.Record("echo-5", "d..1.", "1.000001", "percpu_ref_kill_and_confirm <-memunmap_pages"),
        ]);

        Assert.Equal(RunVerdict.Unknown, report.Check.Verdict);
        Assert.Contains("function tracer", Assert.Single(report.Notes), StringComparison.Ordinal);
    }

    [Fact]
    public void Other_events_are_counted_and_have_no_influence()
    {
        var lines = TraceSamples.MmapHeld();
        lines.Insert(
            30,
            TraceSamples.Record(
                "echo-550",
                "d....",
                "23.500000",
                "sched_switch: prev_comm=echo prev_pid=550 prev_prio=120 prev_state=S ==> next_comm=x next_pid=1 "
                + "next_prio=120"));
        lines.Insert(30, " => do_syscall_64");

        var report = TraceSamples.Judge(lines);

        Assert.Equal(("sched_switch", 1), Assert.Single(report.UnknownEvents));
        Assert.Equal(RunVerdict.Valid, report.Check.Verdict);
    }

    [Theory]
    [InlineData("no trace at all", "is no record of a trace")]
    [InlineData(" 1)    init-56     |               |  really_probe() {", "function_graph")]
    [InlineData("  x-1 [000] ..... 1.000000: percpu_ref_exit: (f+0x4/0xb0) pcp=0x3", "no field ref")]
    [InlineData("  x-1 [000] ..... 1.000000: page_ref_mod: pfn=banana flags=0 count=1", "'pfn' that is no number")]
    [InlineData("  x-1 [000] ..... 1.000000: memremap_pages: (m+0x4/0x9) pgmap=0x1000 start=0x5000 end=0x4fff type=5",
        "end 0x4fff before its start")]
    [InlineData(
        "  x-1 [000] ..... 1.000000: gen_pool_free_owner: (g+0x4/0x9) pool=0x1 addr=0xfffffffffffff000 size=0x2000",
        "which no memory has")]
    [InlineData("  x-1 [000] ..... 99999999999.000000: page_ref_mod: pfn=0x1 count=1", "is no record of a trace")]
    public void A_bad_line_is_refused_with_its_number_and_what_would_do(string line, string reason)
    {
        var lines = TraceSamples.MmapHeld();
        lines.Insert(20, line);

        var refused = Assert.Throws<TraceFormatException>(() => TraceSamples.Judge(lines));

        Assert.Equal(21, refused.Line);
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
        Assert.Contains("accepted: ", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Binary_recordings_are_refused_and_named()
    {
        Assert.Contains("perf record", Refusal("PERFILE2h\0\0\0"u8.ToArray()), StringComparison.Ordinal);
        Assert.Contains("trace-cmd", Refusal([0x17, 0x08, 0x44, .. "tracing6\0"u8]), StringComparison.Ordinal);
        Assert.Contains("binary", Refusal([0, 1, 2, 3]), StringComparison.Ordinal);
        Assert.Contains(
            "longer than 64 KiB", Refusal(Encoding.ASCII.GetBytes(new string('x', 100_000))), StringComparison.Ordinal);
    }

    [Fact]
    public void A_last_line_without_its_end_is_not_believed()
    {
        var text = string.Join('\n', TraceSamples.MmapHeld());

        var report = KernelTrace.Check(new MemoryStream(Encoding.UTF8.GetBytes(text[..^4])));

        Assert.Equal(RunVerdict.Unknown, report.Check.Verdict);
        Assert.Contains("last line", Assert.Single(report.Notes), StringComparison.Ordinal);
    }

    [Fact]
    public void An_overwritten_buffer_makes_a_valid_trace_unknown()
    {
        var report = TraceSamples.Judge(
            ["# entries-in-buffer/entries-written: 110/9000   #P:2", .. TraceSamples.MmapHeld().Where(line =>
                !line.StartsWith('#'))]);

        Assert.Equal(RunVerdict.Unknown, report.Check.Verdict);
        Assert.Contains("110 of 9000", Assert.Single(report.Notes), StringComparison.Ordinal);
    }

    // Goal: where the array of struct pages is at a random address, a pointer names a page only once the trace has
    // shown where.
    // Method: all pointers of the excerpt are moved by the same distance; the planted use is still found.
    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 1)]
    public void A_random_start_of_the_page_array_is_learnt(bool planted, int findings)
    {
        var lines = TraceSamples.MmapHeld();
        if (planted)
        {
            lines.Insert(lines.At("arch_remove_memory_ret:") + 1, TraceSamples.Record(
                "p2ptool-563", ".....", "25.900000",
                "vm_insert_page: (v+0x4/0x190) vma=0x1 addr=0x2 page=0xffffea0003f70800"));
        }

        var report = TraceSamples.Judge(
            lines.Select(line => line.Replace("0xffffea0003f", "0xfffff24003f", StringComparison.Ordinal)));

        Assert.Equal(findings, report.Check.Findings.Count);
    }

    [Fact]
    public void Names_from_outside_come_out_printable()
    {
        var lines = TraceSamples.MmapHeld().Select(
            line => line.Replace(
                "name=\"0000:03:00.0\"", "name=\"\u001b[31m\u202ehostile\u0007\"", StringComparison.Ordinal));

        var report = TraceSamples.Judge(lines);

        Assert.All(
            report.Devices, name => Assert.DoesNotContain(name, letter => char.IsControl(letter) || letter > 0x7e));
    }

    // Goal: whatever a line says, the answer is a report or a refusal with a line number.
    // Method: bytes of a real excerpt are changed, cut, doubled and swapped at random; a failure names the edits, which
    // go into the test below it.
    [Fact]
    public void No_mutation_of_a_trace_crashes_the_judge() =>
        Gen.Select(Gen.Int[0, Mutated.Length - 1], Gen.Int[0, 5], Gen.Int[0, Splices.Length - 1],
            Gen.Byte).Array[1, 12].Sample(
            edits =>
            {
                var outcome = Record.Exception(() => Judge(edits));
                Assert.True(
                    outcome is null,
                    $"edits [{string.Join(", ", edits)}]; CsCheck names the seed, CsCheck_Time=600 searches on: "
                    + outcome);
            },
            iter: 3000);

    [Theory]
    [InlineData(2843, 5, 0, 47)] // One page map's memory was added twice.
    public void A_mutation_that_once_crashed_the_judge_does_not(int place, int how, int splice, byte value) =>
        Judge([(place, how, splice, value)]);

    private static void Judge((int Place, int How, int Splice, byte Value)[] edits)
    {
        var bytes = new List<byte>(Mutated);
        foreach (var (place, how, splice, value) in edits)
        {
            var at = place % bytes.Count;
            switch (how)
            {
                case 0: bytes[at] = value; break;
                case 1: bytes.RemoveRange(at, Math.Min(value, bytes.Count - at - 1)); break;
                case 2: bytes.InsertRange(at, Encoding.UTF8.GetBytes(Splices[splice])); break;
                case 3: bytes.InsertRange(at, bytes.GetRange(at, Math.Min(value, bytes.Count - at))); break;
                case 4: SwapLines(bytes, at); break;
                default: ReplaceNumber(bytes, at, Splices[splice]); break;
            }
        }

        try
        {
            var report = KernelTrace.Check(new MemoryStream([.. bytes]));
            Assert.InRange(report.Check.ExitCode, 0, 2);
        }
        catch (TraceFormatException e)
        {
            Assert.True(e.Line >= 0 && e.Reason.Length < 1000);
        }
    }

    private static void SwapLines(List<byte> bytes, int at)
    {
        var end = bytes.IndexOf((byte)'\n', at);
        var next = end < 0 ? -1 : bytes.IndexOf((byte)'\n', end + 1);
        if (next > 0)
        {
            var line = bytes.GetRange(end + 1, next - end);
            bytes.RemoveRange(end + 1, next - end);
            bytes.InsertRange(bytes.LastIndexOf((byte)'\n', Math.Max(0, at - 1)) + 1, line);
        }
    }

    private static void ReplaceNumber(List<byte> bytes, int at, string with)
    {
        var equals = bytes.IndexOf((byte)'=', at);
        var end = equals < 0 ? -1 : bytes.FindIndex(equals, letter => letter is (byte)' ' or (byte)'\n');
        if (end > 0)
        {
            bytes.RemoveRange(equals + 1, end - equals - 1);
            bytes.InsertRange(equals + 1, Encoding.UTF8.GetBytes(with));
        }
    }

    private static string Refusal(byte[] bytes) =>
        Assert.Throws<TraceFormatException>(() => KernelTrace.Check(new MemoryStream(bytes))).Message;
}
