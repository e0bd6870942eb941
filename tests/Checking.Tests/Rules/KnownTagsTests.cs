using CsCheck;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests.Rules;

[Trait("tier", "fast")]
public sealed class KnownTagsTests
{
    /// <summary>More than a checker follows page by page.</summary>
    private const int TooWide = 5000;

    // Goal: however many pages of a map were written, a read is judged exactly where all its pages are known to hold
    // the same.
    // Method: an online checker sees random writes and reads of one allocation that answers as memory does; an array
    // runs beside.
    [Fact]
    public void Reads_are_judged_whether_few_or_many_pages_were_written() =>
        Gen.Select(Gen.Int[0, 40], Gen.Int[0, 24], Gen.Int[1, 3]).Array[0, 120].Sample(
            steps =>
            {
                const string Name = "map:h/0000:01:00.0/bar4";
                var objects = new ObjectTable();
                var device = objects.Intern("dev:h/0000:01:00.0");
                var map = objects.Intern(Name);
                var checker = new OnlineChecker("ALL", objects, _ => { });
                var stream = checker.Open(Name, 1);
                var tags = new ulong[TooWide];
                var (seq, judged) = (1L, 0L);
                stream.Observe(new HistoryEvent { Kind = EventKind.MemoryAdd, At = new(map, 1, seq, 1), After = [] });
                foreach (var (choice, first, count) in steps)
                {
                    var pages = choice == 0 ? TooWide - first : count;
                    var isWrite = choice < 20;
                    var written = tags.AsSpan(first, pages);
                    if (isWrite)
                    {
                        written.Fill(choice == 0 ? 0 : (ulong)choice);
                    }
                    else
                    {
                        judged += written[0] != 0 && written.IndexOfAnyExcept(written[0]) < 0 ? 1 : 0;
                    }

                    stream.Observe(new Operation
                    {
                        Number = ++seq,
                        Client = 1,
                        Device = device,
                        Kind = OperationKind.Access,
                        Outcome = OperationOutcome.Ok,
                        Direction = isWrite ? AccessDirection.Write : AccessDirection.Read,
                        At = new(map, 1, seq, 1),
                        Alloc = new(device, 1, 1),
                        Map = map,
                        Pfn = 0x40_0000 + (ulong)first,
                        PageCount = pages,
                        Tag = written[0],
                    });
                }

                var rule = checker.Snapshot().Rules.Single(r => r.Rule == "TAG-MISMATCH");
                Assert.Equal((judged, 0L), (rule.Ok, rule.Violated));
            },
            iter: 300);
}
