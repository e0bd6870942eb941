namespace Fleet.LoadTests.Scaling;

/// <summary>One run of the measurement: how large, and how it is spread.</summary>
internal sealed record ScalingPoint(int Devices, int Clients, int Silos);

/// <summary>What one run came to, over its steady phase.</summary>
/// <param name="SiloCpu">Processor time of all silos for one operation, microseconds; and so for the two
/// others.</param>
/// <param name="RowsPerOperation">Rows that the database took, of every table.</param>
/// <param name="SiloBytes">Private memory of all silos, under load.</param>
/// <param name="BuildSeconds">Until every device was bound.</param>
/// <param name="P99Ms">Response time of an alloc.</param>
internal sealed record ScalingResult(
    ScalingPoint Point, double OperationsPerSecond, double SiloCpu, double GeneratorCpu, double DatabaseCpu,
    double RowsPerOperation, double CommitsPerSecond, long SiloBytes, double BuildSeconds, double P99Ms, string Verdict)
{
    public double Cpu => SiloCpu + GeneratorCpu + DatabaseCpu;
}
