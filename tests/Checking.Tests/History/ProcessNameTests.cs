using Fleet.Checking.History;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests.History;

[Trait("tier", "fast")]
public sealed class ProcessNameTests
{
    // Goal: a record names the process whose clock it was stamped by, whatever objects have the same number.
    [Fact]
    public void An_event_travels_with_the_name_of_its_process()
    {
        var objects = new ObjectTable();
        var device = objects.Intern("dev:host-0001/0000:3b:00.0");
        objects.NameProcess(1, "silo-1");
        var record = new HistoryEvent
        {
            Kind = EventKind.BindBegin,
            At = new(device, 1, 1, 1),
            Proc = 1,
            TimeNs = 5,
            Text = "p2pdma",
        };

        var line = RecordJson.Event(record, objects);

        Assert.Contains("\"proc\":\"silo-1\"", line, StringComparison.Ordinal);
    }

    [Fact]
    public void Processes_are_numbered_at_first_mention()
    {
        var objects = new ObjectTable();

        Assert.Equal(
            (1, 2, 1, 0),
            (objects.InternProcess("a"), objects.InternProcess("b"), objects.InternProcess("a"),
                objects.InternProcess(null)));
        Assert.Equal("b", objects.ProcessName(2));
        Assert.Equal("", objects.ProcessName(7));
    }
}
