using CsCheck;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests.Rules;

[Trait("tier", "fast")]
public sealed class LiveAllocationsTests
{
    // Goal: however many are live, an alloc is found to overlap exactly those that it shares a page with.
    // Method: an online checker sees random allocs and frees of a pool that never looks; a list runs beside. What is
    // overlapped gives its addresses up to the later one, and is live still.
    [Fact]
    public void Overlaps_are_counted_whether_few_or_many_are_live() =>
        Gen.Select(Gen.Int[0, 9], Gen.Int[0, 95], Gen.Int[1, 4]).Array[0, 200].Sample(
            steps =>
            {
                const string Name = "dev:h/0000:01:00.0";
                var objects = new ObjectTable();
                var device = objects.Intern(Name);
                var checker = new OnlineChecker("ALL", objects, _ => { });
                var stream = checker.Open(Name, 1);
                var live = new List<(long Number, int First, int Pages, bool IsDisplaced)>();
                var (seq, given, overlaps) = (0L, 0L, 0L);
                foreach (var (choice, place, pages) in steps)
                {
                    var op = new Operation
                    {
                        Number = ++seq,
                        Client = 1,
                        Device = device,
                        Outcome = OperationOutcome.Ok,
                        At = new(device, 1, seq, 1),
                    };
                    if (choice < (seq / 50 % 2 == 0 ? 7 : 3) || live.Count == 0)
                    {
                        var hit = live.FindAll(
                            a => !a.IsDisplaced && a.First < place + pages && place < a.First + a.Pages);
                        overlaps += hit.Count;
                        live = live.ConvertAll(a => hit.Contains(a) ? a with { IsDisplaced = true } : a);
                        live.Add((++given, place, pages, false));
                        op.Kind = OperationKind.Alloc;
                        (op.Alloc, op.Address) = (new(device, 1, given), Address(place));
                        op.SizeBytes = (ulong)pages * World.PageBytes;
                    }
                    else
                    {
                        var freed = live[place % live.Count];
                        live.Remove(freed);
                        op.Kind = OperationKind.Free;
                        (op.Alloc, op.Address) = (new(device, 1, freed.Number), Address(freed.First));
                        op.SizeBytes = (ulong)freed.Pages * World.PageBytes;
                    }

                    stream.Observe(op);
                }

                var rules = checker.Snapshot().Rules;
                Assert.Equal(overlaps, rules.Single(r => r.Rule == "NO-OVERLAP").Violated);
                Assert.Equal(0, rules.Single(r => r.Rule == "FREE-MATCHES-ALLOC").Violated);
            },
            iter: 300);

    private static ulong Address(int page) => 0x40_0000_0000 + ((ulong)page * World.PageBytes);
}
