using Fleet.Kernel.History;
using Fleet.Storage.Spool;

namespace Fleet.Storage.Tests;

/// <summary>
/// A process that writes a spool as fast as it can, and says what it has written, until it is killed.
/// </summary>
internal static class Program
{
    public static int Main(string[] args)
    {
        var objects = Samples.Objects();
        var spool = SpoolWriter.Create(
            new SpoolOptions(args[0], "killed", 1, "victim", "c") { SegmentBytes = 1 << 20, Stripes = 2 }, objects);
        var threads = Enumerable.Range(0, 2).Select(t => new Thread(() =>
        {
            var numbers = spool.OpenClient(objects.Intern($"client:{t}"), 9);
            for (var i = 1; ; i++)
            {
                var number = numbers.Next();
                spool.Append(new Operation { Number = number, Client = numbers.Client, Session = 9, DoneNs = i });
                spool.AppendEvents(
                    [new HistoryEvent { Kind = EventKind.RefKill, At = new Position(2, t + 1, i, 1), Proc = 1 }]);
                if (i % 1000 == 0)
                {
                    Console.Out.WriteLine($"{t} {i}"); // Acknowledged: these must be found again.
                }
            }
        })).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        return 0;
    }
}
