using Fleet.Checking.History;
using Fleet.Kernel.History;

namespace Fleet.Checking.Exports;

/// <summary>One operation as a checker from outside wants it: by a process that does one thing at a time.</summary>
/// <param name="Process">Counted from 0; one that got no answer never does anything again.</param>
/// <param name="ReturnNs">When the answer came; <see cref="long.MaxValue"/> when none did.</param>
public readonly record struct ProcessOperation(int Process, Operation Operation, long CallNs, long ReturnNs);

/// <summary>Gives every operation a process that is idle when it is sent.</summary>
/// <remarks>
/// Jepsen and Porcupine both take a process for sequential, and one that saw no answer for dead. A client of Fleet may
/// have several operations in flight and goes on after an unknown one, so it becomes as many processes as it needs.
/// Limits: operations are held in memory, as both tools do; times are those of one clock.
/// </remarks>
public static class SequentialProcesses
{
    /// <summary>Returns the operations by the time at which they were sent.</summary>
    public static IReadOnlyList<ProcessOperation> Of(IEnumerable<HistoryRecord> records)
    {
        ArgumentNullException.ThrowIfNull(records);
        var operations = records.Where(r => r.Event is null).Select(r => r.Operation).ToArray();
        Array.Sort(operations, static (a, b) => (a.SentNs, a.Number).CompareTo((b.SentNs, b.Number)));
        var idle = new Dictionary<int, PriorityQueue<int, long>>();
        var result = new ProcessOperation[operations.Length];
        var processes = 0;
        for (var i = 0; i < operations.Length; i++)
        {
            ref var op = ref operations[i];
            if (!idle.TryGetValue(op.Client, out var own))
            {
                idle[op.Client] = own = new();
            }

            // Two operations of one process must not touch: what is sent in the nanosecond of an answer overlaps it.
            var process = own.TryPeek(out var free, out var since) && since < op.SentNs ? free : processes;
            if (process == processes)
            {
                processes++;
            }
            else
            {
                own.Dequeue();
            }

            var returned = op.Outcome is OperationOutcome.Unknown ? long.MaxValue : op.DoneNs;
            if (returned != long.MaxValue)
            {
                own.Enqueue(process, returned);
            }

            result[i] = new(process, op, op.SentNs, returned);
        }

        return result;
    }
}
