import { nativeSdkAdapter } from './clients/native-sdk.ts';
import { runScenarios } from './run-scenarios.ts';

runScenarios('native SDK', undefined, () => nativeSdkAdapter);
