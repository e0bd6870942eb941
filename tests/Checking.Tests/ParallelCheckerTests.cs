using Fleet.Checking.History;
using Fleet.Checking.Tests.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests;

/// <summary>Several threads give the report that one gives.</summary>
[Trait("tier", "fast")]
public sealed class ParallelCheckerTests
{
    public static TheoryData<int> Pairs()
    {
        var data = new TheoryData<int>();
        for (var i = 0; i < PlantedHistories.All.Length; i++)
        {
            data.Add(i);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Threads_change_nothing_but_the_time(int pair)
    {
        foreach (var world in new[] { PlantedHistories.All[pair].Broken(), PlantedHistories.All[pair].Clean() })
        {
            var one = HistoryFile.Check(new MemoryStream(world.Bytes()), new(), new()).Report;
            var many = HistoryFile.Check(new MemoryStream(world.Bytes()), new(), new() { Workers = 3 }).Report;

            Assert.Equal(one.Verdict, many.Verdict);
            Assert.Equal(one.Rules, many.Rules);
            Assert.Equal(one.Probes, many.Probes);
            Assert.Equal(one.Reasons, many.Reasons);
            Assert.Equal(one.Records, many.Records);
            Assert.Equal(
                one.Findings.Select(f => (f.Signature, f.Count, f.Text)),
                many.Findings.Select(f => (f.Signature, f.Count, f.Text)));
        }
    }

    // Goal: whichever thread is first, the same device is shown.
    [Fact]
    public void Of_equal_findings_the_first_device_by_name_is_shown()
    {
        for (var run = 0; run < 20; run++)
        {
            var objects = new ObjectTable();
            using var checker = new ParallelChecker(new() { Quiescent = true }, objects, [], workers: 4);
            for (var d = 99; d >= 10; d--)
            {
                var device = objects.Intern($"dev:h1/0000:{d}:00.0");
                for (var seq = 1; seq <= 2; seq++)
                {
                    checker.Add(new Operation
                    {
                        Number = seq,
                        Kind = OperationKind.Alloc,
                        Outcome = OperationOutcome.Ok,
                        Device = device,
                        Client = objects.Intern("client:c"),
                        At = new(device, 1, seq, 1),
                        SentNs = seq,
                        DoneNs = seq,
                        Alloc = new(device, 1, seq),
                        Address = 0x1000,
                        SizeBytes = 4096,
                    });
                }
            }

            var finding = checker.Finish().Findings.Single(f => f.Rule == "NO-OVERLAP");
            Assert.Equal(("dev:h1/0000:10:00.0", 90L), (finding.Object, finding.Count));
        }
    }

    [Fact]
    public void A_record_out_of_order_is_refused_by_whoever_waits()
    {
        var objects = new ObjectTable();
        var device = objects.Intern("dev:h1/0000:01:00.0");
        using var checker = new ParallelChecker(new(), objects, [], workers: 2);
        checker.Add(new HistoryEvent { Kind = EventKind.BindBegin, At = new(device, 1, 5, 1) });
        checker.Add(new HistoryEvent { Kind = EventKind.BindEnd, At = new(device, 1, 4, 1) });

        Assert.Throws<RecordOrderException>(checker.Finish);
    }
}
