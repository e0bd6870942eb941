using Fleet.Client.Runs;
using Fleet.Kernel.History;

namespace Fleet.Client.Commands;

/// <summary>Says which part of a work begins, one line each, and nothing else.</summary>
internal sealed class PartProgress(Terminal terminal) : IRunProgress
{
    public void Begin(string part) => terminal.SayProgress(part);

    public void Show(RunMoment moment)
    {
    }

    public void Say(string line) => terminal.SayProgress(ForeignText.Clean(line, 500));

    public void Found(Finding finding)
    {
    }
}
